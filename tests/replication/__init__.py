"""Tests of grid.replication."""
