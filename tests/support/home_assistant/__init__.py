"""A real Home Assistant with its MQTT integration, for tests and pictures."""
