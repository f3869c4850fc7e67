"""Tests of ``grid.finding``."""
