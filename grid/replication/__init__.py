"""CORE: copies equal their primaries. No I/O; see ``replicator.py``."""
