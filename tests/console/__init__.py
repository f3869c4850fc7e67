"""Tests of ``grid.console``."""
