"""Tests of ``grid.wire``."""
