"""Learners: what improves adapters from episodes."""
