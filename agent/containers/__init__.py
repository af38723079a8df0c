"""Which containers exist, and what is published about each of them."""
