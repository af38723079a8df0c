"""Why a file that the configuration names cannot be read."""

import errno


def why_unreadable(error: OSError | ValueError) -> str:
    """Return "cannot be read: …" for the error of opening a file, with the remedy if the reason does not show it."""
    if not isinstance(error, OSError):  # a NUL, or a character that the locale's encoding lacks
        return "cannot be read: not a path"
    remedy = "; let the user who runs the agent read it" if error.errno == errno.EACCES else ""
    return f"cannot be read: {error.strerror}{remedy}"
