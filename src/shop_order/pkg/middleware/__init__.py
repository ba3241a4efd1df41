"""What stands in front of every call, over both protocols."""
