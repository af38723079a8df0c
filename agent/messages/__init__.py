"""What is published: payloads, topics, and the outbox where messages wait."""
