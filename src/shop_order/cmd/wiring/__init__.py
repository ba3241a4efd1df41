"""Where parts are put together: ports get their engines, use cases their ports, fronts their use cases."""
