"""The gateway: nginx in front of the instances, configured from one template."""
