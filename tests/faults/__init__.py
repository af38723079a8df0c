"""What people say happened, a fault a test, judged from outside: by subscribers, counters, memory and log lines."""
