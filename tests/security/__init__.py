"""What the agent may do to others, and what nobody may learn from it."""
