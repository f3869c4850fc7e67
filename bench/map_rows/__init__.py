"""The rows of `bench.map`, a module for each kind; `run.py` has what they share."""
