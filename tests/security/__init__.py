"""Secrets and rights."""
