"""Tests of ``grid.chaos``."""
