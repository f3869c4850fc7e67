"""Tests of the way of a request to its storage process."""
