"""CORE: who is in the cluster. No I/O, no clock; see ``swim.py`` for the protocol."""
