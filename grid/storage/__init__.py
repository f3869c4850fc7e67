"""CORE: what one partition holds. No I/O, no clock; see ``store.py``."""
