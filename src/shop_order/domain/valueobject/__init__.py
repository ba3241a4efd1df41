"""Values without identity: they are equal when their fields are."""
