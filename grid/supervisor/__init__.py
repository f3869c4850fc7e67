"""The supervisor of a node: forks its processes, watches them, restarts or stops them."""
