"""Tests of ``grid.membership``."""
