"""Rules that hold for every message, usage and reading."""
