"""Honest fakes: recorded documents and scripted answers served over real sockets."""
