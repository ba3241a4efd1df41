"""What surrounds every REST request, as plain ASGI."""
