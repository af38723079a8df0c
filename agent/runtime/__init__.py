"""Building blocks without domain knowledge: cancellation, retry, scheduling, logs. Imports nothing of the agent."""
