"""ModelRollout: rolls machine-learning models out safely on Kubernetes."""

__version__ = "0.1.0"
