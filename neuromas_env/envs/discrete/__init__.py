"""Discrete networks: the same topologies with messages from a finite code book."""
