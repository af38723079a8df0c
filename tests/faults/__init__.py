"""Faults as people have reported them, one for each test, judged from outside: subscribers, counters, memory, logs."""
