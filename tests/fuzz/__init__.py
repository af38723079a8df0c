"""Whatever an engine or a broker may send: tried by a fuzzer that learns from what it reaches, found cases kept."""
