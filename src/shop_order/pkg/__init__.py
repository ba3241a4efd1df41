"""Parts that know nothing of orders: they import no other room of the service."""
