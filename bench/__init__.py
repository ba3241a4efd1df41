"""The benchmark: `make bench`, or `python -m bench --help`. What it says stands in docs/performance.md."""
