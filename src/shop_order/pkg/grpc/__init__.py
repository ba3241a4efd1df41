"""gRPC beyond the handlers: the client side of our calls."""
