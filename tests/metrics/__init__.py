"""The arithmetic between two readings."""
