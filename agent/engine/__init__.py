"""The Docker Engine: its API, its documents, its errors."""
