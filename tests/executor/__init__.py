"""Tests of ``grid.executor``."""
