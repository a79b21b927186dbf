"""How fast a breach takes a candidate's requests away, and what a fleet costs that has nothing to do.

On a light bed: a real API server, Prometheus and operator; kwok plays the pods, and `stack.exporter` their metrics.
"""
