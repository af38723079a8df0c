"""One container: readings from a source become usages."""
