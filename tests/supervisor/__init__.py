"""Tests of ``grid.supervisor``."""
