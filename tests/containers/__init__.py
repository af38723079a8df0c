"""What subscribers are told about each container."""
