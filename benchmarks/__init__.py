"""What usage-agent costs a host, measured beside what a user would pick instead."""
