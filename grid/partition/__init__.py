"""CORE: who should hold what. No I/O, no clock; see ``coordinator.py`` for the rules."""
