"""RocketMQ 5 through its proxy (gRPC); the official client is imported when a URL names it."""
