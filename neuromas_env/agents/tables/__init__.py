"""Policies and algorithms in numpy, for discrete networks."""
