"""Tests of the executor as programs see it."""
