"""What the simulated payment providers share."""
