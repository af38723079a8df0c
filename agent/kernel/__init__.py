"""Readings from this machine's cgroup and /proc files. Nothing here knows the engine."""
