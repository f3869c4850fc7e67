"""What runs in workers at the data: `apply`, `apply_many` and `reduce`."""
