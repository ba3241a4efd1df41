"""The published gRPC services and their interceptors."""
