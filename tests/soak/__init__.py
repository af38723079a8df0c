"""A soak: the agent between a real engine and a real broker for as long as wanted, calm or under faults by chance."""
