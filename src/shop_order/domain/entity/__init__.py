"""Things with identity and a life: the order with its payments and refunds, the cart."""
