"""The analysis of novels, without any cluster."""
