"""Pure arithmetic: readings, and the usage between two of them."""
