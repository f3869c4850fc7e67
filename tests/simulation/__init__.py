"""Tests of ``grid.simulation``."""
