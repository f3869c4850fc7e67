"""Hosts in miniature: one machine divided into several, each with a network of its own.

Responsible for: what a LAN of machines is made of, on Linux and as root: namespaces, a switch,
shares of the CPU, a host and the programs on it, the faults of each.

Not responsible for: what is shown or proved with them (``demo/``, the tests), and real machines.
"""
