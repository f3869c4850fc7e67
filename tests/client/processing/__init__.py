"""Tests of what runs at the data."""
