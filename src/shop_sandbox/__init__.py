"""The rest of the Shop, small but real: goods, inventory, users, the event inbox and the Alipay simulator."""
