"""Secrets, and the rights that the agent needs."""
