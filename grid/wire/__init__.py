"""Bytes to messages and back: frames, codec, catalog, handshake. No sockets."""
