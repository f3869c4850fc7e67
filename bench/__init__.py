"""Speed, measured as ratios in one run against a plain peer. Not tests: see ``tests/``."""
