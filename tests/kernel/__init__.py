"""The kernel's files: written by a test, recorded, and real."""
