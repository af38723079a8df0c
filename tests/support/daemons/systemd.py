"""Requirements of tests that run systemd as PID 1 in a container."""

import shutil

from support.daemons import dockerd


def missing() -> str | None:
    """Return why no image with systemd can be built here, or None."""
    return dockerd.missing() or (None if shutil.which("debootstrap") else "not installed: debootstrap")
