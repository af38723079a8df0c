"""The limit of open files, which in many shells is too low for thousands of containers."""

import resource

MAX_DESCRIPTORS = 65536


def raise_descriptor_limit() -> None:
    """Raise the limit of this process, and of the programs that it starts, as far as is allowed and useful."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
