"""Which containers there are, and what is published about each."""
