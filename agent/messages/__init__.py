"""What is published: payloads and their schema, topics, and the outbox."""
