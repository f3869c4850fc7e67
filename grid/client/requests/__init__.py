"""The way of a request to its storage process and back: what is sent where, and by which shell."""
