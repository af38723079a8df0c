"""The side of the subscribers: all hosts as their messages show them. Start reading at `state.py`."""
