"""The third source: the kernel's files."""
