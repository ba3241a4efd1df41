"""The gRPC server and client."""
