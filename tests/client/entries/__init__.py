"""Tests of what a map can do with its entries."""
