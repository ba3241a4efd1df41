"""The published gRPC services and what stands before them."""
