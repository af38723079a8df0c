"""Soak test: the agent with a real engine and a real broker for a chosen time, with or without random faults."""
