"""Entities: the order with its payments and refunds, and the cart."""
