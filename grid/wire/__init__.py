"""Bytes to messages and back: frames, keys, values, catalog, handshake. No sockets."""
