"""The client: routing, connections, the map and the executor as Python programs see them."""
