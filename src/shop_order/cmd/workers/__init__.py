"""Several processes that serve as one instance: a parent that holds the ports, and its workers.

(decision workers)
"""
