"""The publisher and its connection, on real brokers and on a scripted one."""
