"""The Docker image."""
