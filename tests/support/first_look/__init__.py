"""What `scripts/run` runs: the agent as somebody sees it who tries it for the first time."""
