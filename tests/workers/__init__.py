"""Instances of several processes, and several instances, on one database."""
