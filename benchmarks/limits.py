"""The limit of open files, which is too low in many shells for thousands of containers."""

import resource

DESCRIPTORS = 65536


def raise_descriptors() -> None:
    """Allow ourselves, and so the programs that we start, as many descriptors as we may, or enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
