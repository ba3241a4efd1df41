"""`shop-sandbox story`, which `make demo` runs: the life of orders, step by step."""
