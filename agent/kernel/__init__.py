"""This machine's cgroup and /proc files, read as the engine reads them."""
