"""Real engines, brokers, machines and agents as processes, started for a test and ended after it."""
