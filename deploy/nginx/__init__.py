"""The gateway: nginx in front of the instances, made from one template."""
