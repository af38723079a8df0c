"""The supervisor, between a fake engine and an outbox."""
