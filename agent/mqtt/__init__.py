"""What `broker.py` stands on: sockets and TLS, limits and refusals, and what to say when a broker cannot be used."""
