"""systemd as PID 1 in a container, and what images are built from."""

import shutil

from support.daemons import dockerd


def missing() -> str | None:
    """Say what keeps us from building a system of our own here, if anything does."""
    return dockerd.missing() or (None if shutil.which("debootstrap") else "not installed: debootstrap")
