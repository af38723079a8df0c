"""From readings to usages."""
