"""Engines: what generates replies and scores them, and where."""
