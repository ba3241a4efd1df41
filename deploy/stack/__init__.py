"""The real engines on one machine, from public packages, without containers: `python -m deploy.stack up`."""
