"""Writes everything that follows from the models of the API: CRDs, and the reference that people read."""
