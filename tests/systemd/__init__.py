"""The unit, on a real systemd."""
