"""Tests of ``grid.process``."""
