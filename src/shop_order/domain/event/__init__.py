"""What happened to an order, as it is kept and hashed."""
