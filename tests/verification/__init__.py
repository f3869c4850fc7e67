"""The checker must find what is wrong, and nothing else."""
