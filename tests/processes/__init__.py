"""Real nodes on loopback: started, used, killed, stopped."""
