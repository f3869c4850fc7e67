"""Tests of ``grid.storage``."""
