"""Whole machines in miniature: each host has its own network, and faults as a real LAN has them."""
