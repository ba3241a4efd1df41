"""What starts the service beside real engines."""
