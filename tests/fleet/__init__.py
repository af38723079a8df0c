"""The subscribers' side: state of all hosts from their messages, and what is shown of it."""
