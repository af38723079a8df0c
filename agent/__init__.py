"""What every container uses, published to MQTT: one message per container and interval."""

__version__ = "0.1.0"
