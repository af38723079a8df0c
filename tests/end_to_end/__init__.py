"""The whole agent on a real engine and broker."""
