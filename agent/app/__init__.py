"""What the commands run: the service, its status and monitor, the preflight check."""
