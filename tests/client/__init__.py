"""Tests of ``grid.client``."""
