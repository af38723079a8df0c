"""The whole agent as a process, between a real engine and a real broker, seen by its subscribers."""
