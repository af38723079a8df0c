"""Real engines, brokers, machines and agents, started for a test and ended after it."""
