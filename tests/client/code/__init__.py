"""Tests of what travels of a program."""
