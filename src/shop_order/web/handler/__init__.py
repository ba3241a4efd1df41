"""REST handlers: decode, one use case, encode."""
