"""Which containers are published: globs on names, and the container's own label."""

import pytest
from support.fakes.engine import FakeEngine

from agent.containers.filter import ContainerFilter
from containers.harness import MakeHarness


@pytest.mark.parametrize(
    ("name", "labels", "selected"),
    [
        ("web", {}, True),
        ("test-web", {}, False),
        ("test-web", {"usage-agent.enable": "true"}, True),
        ("web", {"usage-agent.enable": "false"}, False),
        ("db", {}, False),
    ],
)
def test_only_selected_containers_are_published(
    make_harness: MakeHarness, fake_engine: FakeEngine, name: str, labels: dict[str, str], selected: bool
) -> None:
    """The settings select by name; a container's own label outranks them."""
    harness = make_harness(include=("*web",), exclude=("test-*",))
    container = fake_engine.run(name, labels=labels)
    if selected:
        harness.expect("running", of=name)
    else:
        harness.wait_for_inspect(container.id)
        assert harness.published_at(name) == []


def test_container_renamed_to_an_excluded_name_is_excluded(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """Its collector is stopped, and its topic names the reason."""
    harness = make_harness(exclude=("test-*",))
    web = fake_engine.run("web")
    harness.expect("running")
    fake_engine.rename(web, "test-web")
    harness.expect("running", "excluded")
    assert harness.supervisor.collectors == []


@pytest.mark.parametrize(
    ("include", "exclude", "name", "selected"),
    [
        (["*"], [], "web", True),
        (["*"], ["web"], "web", False),
        (["*"], ["web"], "web2", True),
        (["web*", "db"], [], "web2", True),
        (["web*", "db"], [], "db2", False),
        (["web?"], ["*2"], "web2", False),
        ([], [], "web", False),
        (["WEB"], [], "web", False),
        (["*"], [], "a/b\nc", True),
        (["[ab]"], [], "b", True),
    ],
)
def test_globs_select_by_name(include: list[str], exclude: list[str], name: str, selected: bool) -> None:
    """A container is selected if a glob includes it and none excludes it; globs match whole names."""
    assert ContainerFilter(include, exclude).matches(name, {}) is selected


@pytest.mark.parametrize(
    ("label", "selected"),
    [("true", True), ("false", False), ("TRUE", True), (" False ", False), ("1", True), ("0", False), ("no", False)],
)
def test_label_outranks_the_globs(label: str, selected: bool) -> None:
    """The container's own label decides, whatever include and exclude say; `false` is never true."""
    labels = {"usage-agent.enable": label}
    assert ContainerFilter(["*"], []).matches("web", labels) is selected
    assert ContainerFilter(["*"], ["*"]).matches("web", labels) is selected
    assert ContainerFilter([], []).matches("web", labels) is selected


@pytest.mark.parametrize("label", ["", "maybe", "yes please"])
def test_label_that_is_no_boolean_is_ignored(label: str) -> None:
    """A label that is neither true nor false leaves the decision to the globs."""
    assert ContainerFilter(["web"], []).matches("web", {"usage-agent.enable": label})
    assert not ContainerFilter(["web"], ["web"]).matches("web", {"usage-agent.enable": label})


def test_running_container_that_is_not_selected_is_not_inspected_at_every_list(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """It has no status that says that it runs, and still is known to run."""
    harness = make_harness(exclude=("web",))
    web = fake_engine.run("web")
    harness.wait_for_inspect(web.id)
    harness.wait_for_events()
    harness.wait_for_workers()
    inspects = fake_engine.requests["/containers/{id}/json"]
    harness.supervisor.resync(harness.engine.list_containers(), inspect_all=False)
    harness.wait_for_workers()
    assert fake_engine.requests["/containers/{id}/json"] == inspects
