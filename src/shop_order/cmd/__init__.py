"""Command line, signals, exit codes; app.py wires the parts together."""
