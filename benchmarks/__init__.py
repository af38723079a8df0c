"""What usage-agent costs a host, measured beside the programs that a user could choose instead."""
