"""What helps when something is slow or wrong."""
