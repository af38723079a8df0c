"""Two readings make a usage."""
