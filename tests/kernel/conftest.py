"""A container's kernel files, for tests to read and change."""

from pathlib import Path

import pytest
from support.fakes.kernel_tree import KernelTree

from kernel.trees import tree_v1, tree_v2


@pytest.fixture
def v1(tmp_path: Path) -> KernelTree:
    """Give a container on cgroup v1."""
    return tree_v1(tmp_path)


@pytest.fixture
def v2(tmp_path: Path) -> KernelTree:
    """Give a container on cgroup v2."""
    return tree_v2(tmp_path)
