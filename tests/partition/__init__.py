"""Tests of ``grid.partition``."""
