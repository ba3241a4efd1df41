"""Events of an order's history."""
