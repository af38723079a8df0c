"""The configuration: file, environment, mistakes."""
