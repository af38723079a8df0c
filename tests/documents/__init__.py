"""README and docs/: generated pages are current, and what can be run is run."""
