"""The lines that commands print for people and scripts."""

from agent.runtime.text import escape


def print_line(verdict: str, subject: str, text: str) -> None:
    """Print `verdict  subject  text` in columns, at once."""
    print(f"{verdict:<5} {escape(subject):<14} {escape(text)}", flush=True)
