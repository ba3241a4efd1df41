"""Values without identity: equal if their fields are equal."""
