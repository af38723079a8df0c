"""The service's own parts: status, monitor, detection of a second agent."""
