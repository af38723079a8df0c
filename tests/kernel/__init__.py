"""The kernel's files, recorded and real."""
