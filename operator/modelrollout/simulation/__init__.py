"""Rollouts that never were, judged as the operator and others would judge them."""
