"""Whether a run of a container goes on, by the kernel's files. What cannot be seen for sure says nothing."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fakes.kernel_tree import KernelTree

from agent.kernel.run import ContainerRun
from kernel.trees import ID, SCOPE, tree_v1, tree_v2

STAT = "{pid} (a (b) c) {state} 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 {started} 4096 1\n"
STARTED = 123456


class Run:
    """A running container's files, in one version of cgroups."""

    def __init__(self, tree: KernelTree, cgroup: Path) -> None:
        self.tree = tree
        self.cgroup = cgroup
        self.process = tree.proc / str(tree.pid)
        self.write_stat(STARTED)

    def write_stat(self, started: int, state: str = "S") -> None:
        """Write when the first process was started, in ticks, and its state."""
        self.tree.process({"stat": STAT.format(pid=self.tree.pid, state=state, started=started)})

    def count(self, processes: int) -> None:
        """Write how many processes are in the cgroup."""
        self.tree.write(self.cgroup, {"pids.current": f"{processes}\n"})

    def end_process(self) -> None:
        """End the first process."""
        shutil.rmtree(self.process)

    def remove_cgroup(self) -> None:
        """Remove the container's cgroups."""
        for directory in self.tree.cgroups.glob(f"**/*{ID}*"):
            shutil.rmtree(directory)

    def open(self) -> ContainerRun:
        """Return the run as the agent has it after the files were closed."""
        files = self.tree.open()
        files.close()
        assert files.kernel_run
        assert files.kernel_run.has_processes() is True
        return files.kernel_run


def run_v1(directory: Path) -> Run:
    tree = tree_v1(directory)
    return Run(tree, tree.cgroups / "pids/docker" / ID)


def run_v2(directory: Path) -> Run:
    tree = tree_v2(directory)
    return Run(tree, tree.cgroups / SCOPE)


@pytest.fixture(params=[run_v1, run_v2], ids=["v1", "v2"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give a running container's files, in both versions of cgroups."""
    made: Run = request.param(tmp_path)
    return made


@pytest.mark.parametrize("end", [Run.remove_cgroup, lambda run: run.count(0)], ids=["removed", "empty"])
def test_run_without_process_and_cgroup_is_over(run: Run, end: Callable[[Run], None]) -> None:
    """Whether the engine has removed the cgroup, or is gone and has left it empty."""
    opened = run.open()
    run.end_process()
    end(run)
    assert opened.has_processes() is False


def test_number_of_the_process_may_be_used_again(run: Run) -> None:
    """A process with the same number that was started at another time is another one."""
    opened = run.open()
    run.write_stat(STARTED + 1)
    run.count(0)
    assert opened.has_processes() is False


def test_later_run_has_processes(run: Run) -> None:
    """The cgroup of a container that was started anew has the same name."""
    opened = run.open()
    run.end_process()
    run.remove_cgroup()
    assert opened.has_processes() is False
    run.tree.write(run.cgroup, {"pids.current": "2\n"})
    assert opened.has_processes() is True


def test_first_process_may_have_ended_before_the_others(run: Run) -> None:
    """As long as the cgroup has processes, the run is not over."""
    opened = run.open()
    run.end_process()
    assert opened.has_processes() is True


def hide_cgroups(run: Run) -> None:
    run.tree.cgroups.rename(run.tree.cgroups.with_name("elsewhere"))


def mount_other_cgroups(run: Run) -> None:
    hide_cgroups(run)
    for directory in (run.tree.cgroups, run.tree.cgroups / "pids"):
        directory.mkdir()


def hide_processes(run: Run) -> None:
    run.tree.proc.rename(run.tree.proc.with_name("elsewhere"))
    run.tree.proc.mkdir()
    run.count(0)


def forbid(path: Path) -> None:
    """Put a link to itself in the place of a file: it is there, and cannot be read."""
    path.unlink()
    path.symlink_to(path)


def hide_count(run: Run) -> None:
    (run.cgroup / "pids.current").unlink()


SAYS_NOTHING: dict[str, Callable[[Run], None]] = {
    "cgroups unmounted": hide_cgroups,
    "cgroups mounted anew": mount_other_cgroups,
    "processes unmounted": hide_processes,
    "count unreadable": lambda run: forbid(run.cgroup / "pids.current"),
    "count of rubbish": lambda run: run.tree.write(run.cgroup, {"pids.current": "few\n"}),
    "not counted": hide_count,
}


@pytest.mark.parametrize("hide", SAYS_NOTHING.values(), ids=SAYS_NOTHING)
def test_hidden_files_say_nothing(run: Run, hide: Callable[[Run], None]) -> None:
    """Not even if the first process is not there either."""
    opened = run.open()
    run.end_process()
    hide(run)
    assert opened.has_processes() is None


MAY_LIVE: dict[str, Callable[[Run], None]] = {
    "lives": lambda run: run.write_stat(STARTED),
    "zombie": lambda run: run.write_stat(STARTED, "Z"),
    "stat unreadable": lambda run: forbid(run.process / "stat"),
    "stat of rubbish": lambda run: run.tree.process({"stat": "42 (a"}),
}


@pytest.mark.parametrize("change", MAY_LIVE.values(), ids=MAY_LIVE)
@pytest.mark.parametrize("end", [Run.remove_cgroup, lambda run: run.count(0)], ids=["removed", "empty"])
def test_first_process_may_live_without_the_cgroup(
    run: Run, change: Callable[[Run], None], end: Callable[[Run], None]
) -> None:
    """Without processes in the cgroup the run may still go on: systemd may have moved them to another one."""
    opened = run.open()
    change(run)
    end(run)
    assert opened.has_processes() is None


def test_version_1_without_its_pids_controller(tmp_path: Path) -> None:
    """The cgroup of another controller tells that a run is over only once it has been removed."""
    run = run_v1(tmp_path)
    shutil.rmtree(run.tree.cgroups / "pids")
    cgroup = (run.process / "cgroup").read_text()
    run.tree.process({"cgroup": cgroup.replace(f"12:pids:/docker/{ID}\n", "")})
    files = run.tree.open()
    files.close()
    assert files.kernel_run
    assert files.kernel_run.has_processes() is None
    run.end_process()
    assert files.kernel_run.has_processes() is None
    run.remove_cgroup()
    assert files.kernel_run.has_processes() is False


def test_files_without_a_start_time_are_read_all_the_same(run: Run) -> None:
    """Then nothing tells when the run is over."""
    (run.process / "stat").unlink()
    files = run.tree.open()
    assert files.read().pids
    assert files.kernel_run is None
    files.close()


@contextmanager
def empty_mount(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("hidden", ["proc", "cgroups"])
def test_real_mount_that_hides_the_files_says_nothing(run: Run, hidden: str) -> None:
    """When it is taken away the files say what they said before."""
    opened = run.open()
    run.end_process()
    run.count(0)
    with empty_mount(getattr(run.tree, hidden)):
        assert opened.has_processes() is None
    assert opened.has_processes() is False
