"""What must be true after something died."""
