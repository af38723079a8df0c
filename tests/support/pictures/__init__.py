"""Pictures of `watch` and of the web page for the documents, taken of a real engine: `scripts/screenshots`."""
