"""What grid demo shows."""
