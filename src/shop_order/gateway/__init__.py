"""The services we call: goods, inventory, users, event inboxes, and the payment providers."""
