"""Moves frames and datagrams it does not understand: TCP, UDP, multicast, unix sockets, pipes."""
