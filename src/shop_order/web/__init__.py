"""The two protocols, gRPC and REST: decode, one use case, encode."""
