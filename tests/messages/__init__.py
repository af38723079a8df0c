"""Payloads, topics and the outbox."""
