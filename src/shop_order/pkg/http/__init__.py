"""The machinery of an HTTP server that knows nothing of orders."""
