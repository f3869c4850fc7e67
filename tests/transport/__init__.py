"""Tests of ``grid.transport``."""
