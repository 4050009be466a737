"""Environments: an episode, and the AEC, parallel and single-step forms of it."""
