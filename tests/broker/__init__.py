"""The publisher and its connection, on real brokers and on a peer that does as it is told."""
