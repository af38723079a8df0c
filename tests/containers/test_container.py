"""What an engine says of a container, and which containers the agent looks after."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.containers.container import Container, container_from_event, parse_inspect, parse_inspect_of
from agent.containers.filter import ContainerFilter
from agent.engine.protocol import Event

ID = "81d2320c84d67601651d9e734201dea74e33f9825b4c3ec101eeff454f518ca3"


def docker(**parts: Any) -> dict[str, Any]:
    """Return Docker's inspect document of a running container; `parts` replace whole parts of it."""
    return {
        "Id": ID,
        "Name": "/web",
        "Image": "sha256:837c",
        "Created": "1970-01-01T00:00:05.000000001Z",
        "RestartCount": 2,
        "Config": {"Image": "nginx:1.27", "Labels": {"a": "b"}},
        "State": state(),
        **parts,
    }


def state(**parts: Any) -> dict[str, Any]:
    """Return the state of a running container."""
    return {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "ExitCode": 0,
        "StartedAt": "2026-11-24T19:41:47.5+01:00",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {"Status": "healthy"},
        **parts,
    }


def in_state(**parts: Any) -> Container:
    return parse_inspect(docker(State=state(**parts)))


def test_a_running_container() -> None:
    """All that is known of a running container, times in UTC; it has neither ended nor an exit code yet."""
    assert parse_inspect(docker()) == Container(
        id=ID,
        name="web",
        image="nginx:1.27",
        created=5_000_000_001,
        labels={"a": "b"},
        running=True,
        state="running",
        started_at="2026-11-24T18:41:47.500000000Z",
        finished_at=None,
        exit_code=None,
        oom_killed=False,
        health="healthy",
        restart_count=2,
    )


def test_short_id() -> None:
    """The short id is the one that `docker ps` shows."""
    assert parse_inspect(docker()).short_id == "81d2320c84d6"


def test_an_exited_container() -> None:
    """How and when it ended is known."""
    ended = {"Status": "exited", "Running": False, "ExitCode": 137, "OOMKilled": True}
    found = in_state(**ended, FinishedAt="2026-11-24T18:41:49Z")
    assert (found.running, found.state, found.exit_code, found.oom_killed) == (False, "exited", 137, True)
    assert found.finished_at == "2026-11-24T18:41:49.000000000Z"


def test_a_container_that_never_ran_has_no_exit_code() -> None:
    """The engine's 0 for a created container is not how it ended."""
    found = in_state(Status="created", Running=False, StartedAt="0001-01-01T00:00:00Z")
    assert (found.running, found.started_at, found.exit_code) == (False, None, None)


def test_a_container_that_waits_for_its_restart_does_not_run() -> None:
    """Docker calls it running and restarting at once: it has no processes, and its last exit code is known."""
    found = in_state(Status="restarting", Restarting=True, ExitCode=1)
    assert (found.running, found.exit_code) == (False, 1)


@pytest.mark.parametrize("said", [True, False])
def test_a_paused_container_runs(said: bool) -> None:
    """A pause is not an end; Podman says that a paused container does not run, Docker that it does."""
    assert in_state(Status="paused", Running=said, Paused=True).running


@pytest.mark.parametrize("health", [None, {}, {"Status": ""}, {"Status": "none"}, {"Status": None}, "healthy"])
def test_no_health_check(health: object) -> None:
    """Without a health check there is no health."""
    assert in_state(Health=health).health is None


def test_podmans_own_words() -> None:
    """Podman's own API has the name without a slash, the image beside, the health check under another name."""
    document = docker(Name="web", ImageName="docker.io/library/nginx:1.27", Config={"Labels": None})
    document["State"] = {**state(), "Healthcheck": {"Status": "starting"}}
    del document["State"]["Health"]
    found = parse_inspect(document)
    assert (found.name, found.image, found.health, found.labels) == (
        "web",
        "docker.io/library/nginx:1.27",
        "starting",
        {},
    )


def test_an_image_without_a_name_is_its_hash() -> None:
    """An image that has lost its name is still known by what it is."""
    assert parse_inspect(docker(Config={"Image": ""})).image == "sha256:837c"


def test_compose() -> None:
    """Project and service are Compose's labels; empty ones are none."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "till"}
    found = parse_inspect(docker(Config={"Image": "x", "Labels": labels}))
    assert (found.project, found.service) == ("shop", "till")
    found = parse_inspect(docker(Config={"Image": "x", "Labels": dict.fromkeys(labels, "")}))
    assert (found.project, found.service) == (None, None)


@pytest.mark.parametrize("name", ["a/#+b", "//", "über\n\x00", "x" * 1000, " ", "'; rm -rf"])
def test_hostile_names_survive(name: str) -> None:
    """Names are the engine's, whatever they are; only the one leading slash is Docker's own."""
    labels = {name: name}
    found = parse_inspect(docker(Name="/" + name, Config={"Image": name, "Labels": labels}))
    assert (found.name, found.image, found.labels) == (name, name, labels)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "", "soon", None, 5])
def test_never(time: object) -> None:
    """The engines' ways of saying never, and rubbish, are no time."""
    found = in_state(StartedAt=time, FinishedAt=time)
    assert (found.started_at, found.finished_at) == (None, None)


def test_what_is_not_said_is_not_known() -> None:
    """The least that is a container: all else is None, and its state follows from whether it runs."""
    found = parse_inspect({"Id": "1", "Name": "web", "Created": "2026-11-24T18:41:47Z", "State": {"Running": True}})
    assert (found.image, found.labels, found.state) == ("", {}, "running")
    assert (found.started_at, found.exit_code, found.oom_killed, found.restart_count) == (None, None, None, None)
    assert parse_inspect(docker(State={"Running": False})).state == "exited"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"Id": None}, "Id"),
        ({"Id": ""}, "Id"),
        ({"Id": 5}, "Id"),
        ({"Name": None}, "Name"),
        ({"Name": ""}, "Name"),
        ({"Name": "/"}, "Name"),
        ({"Created": None}, "Created"),
        ({"Created": 5}, "Created"),
        ({"Created": "soon"}, "Created"),
        ({"State": None}, "Running"),
        ({"State": "running"}, "Running"),
        ({"State": {"Running": "yes"}}, "Running"),
    ],
)
def test_rubbish_is_refused(wrong: dict[str, Any], named: str) -> None:
    """Without id, name, creation or state it is no container; the error names what was missing."""
    with pytest.raises(ValueError, match=named):
        parse_inspect(docker(**wrong))


def test_a_document_of_another_container() -> None:
    """An answer about another container than was asked for is none: its figures would be told under a wrong name."""
    assert parse_inspect_of(docker(), ID).id == ID
    with pytest.raises(ValueError, match="Id"):
        parse_inspect_of(docker(), ID[::-1])


def test_what_is_nested_deeper_than_python_can_follow() -> None:
    """An error shows only the kind of what was found where there should be text."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="Id: expected text, found list"):
        parse_inspect(docker(Id=deep))


def test_less_than_no_restarts() -> None:
    """A container cannot have been restarted less than never; an exit code may be anything."""
    assert parse_inspect(docker(RestartCount=-1)).restart_count is None
    assert in_state(Running=False, ExitCode=-1).exit_code == -1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    JSON
    | st.builds(docker, **dict.fromkeys(docker(), JSON))
    | st.builds(lambda part, rubbish: docker(**{part: rubbish}), st.sampled_from(sorted(docker())), JSON)
    | st.builds(lambda part, rubbish: docker(State=state(**{part: rubbish})), st.sampled_from(sorted(state())), JSON)
)
def test_only_value_error_comes_of_rubbish(document: Any) -> None:
    """Whatever stands in whichever place: a container of the right types, or a ValueError."""
    try:
        found = parse_inspect(document)
    except ValueError:
        return
    assert isinstance(found.running, bool)
    assert all(
        isinstance(text, str) for text in (found.id, found.name, found.image, found.state, *found.labels.values())
    )
    assert all(text is None or isinstance(text, str) for text in (found.started_at, found.finished_at, found.health))
    assert all(number is None or type(number) is int for number in (found.exit_code, found.restart_count))


def test_a_container_that_was_gone_before_it_could_be_inspected() -> None:
    """The event of its start says enough: its id, name, image, labels and when it started."""
    attributes = {"image": "nginx:1.27", "name": "web", "com.docker.compose.project": "shop"}
    found = container_from_event(Event(5_000_000_001, "start", "", ID, "web", attributes))
    assert (found.id, found.name, found.image, found.project) == (ID, "web", "nginx:1.27", "shop")
    assert (found.running, found.created, found.started_at) == (True, 5_000_000_001, "1970-01-01T00:00:05.000000001Z")
    assert (found.finished_at, found.exit_code, found.oom_killed, found.restart_count) == (None, None, None, None)


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
def test_globs(include: list[str], exclude: list[str], name: str, selected: bool) -> None:
    """A container is looked after if a glob includes it and none excludes it; globs match whole names."""
    assert ContainerFilter(include, exclude).matches(name, {}) is selected


@pytest.mark.parametrize(
    ("label", "selected"),
    [("true", True), ("false", False), ("TRUE", True), (" False ", False), ("1", True), ("0", False), ("no", False)],
)
def test_the_label_outranks_the_globs(label: str, selected: bool) -> None:
    """The container's own label decides against include and exclude alike; and false is never true."""
    labels = {"usage-agent.enable": label}
    assert ContainerFilter(["*"], []).matches("web", labels) is selected
    assert ContainerFilter(["*"], ["*"]).matches("web", labels) is selected
    assert ContainerFilter([], []).matches("web", labels) is selected


@pytest.mark.parametrize("label", ["", "maybe", "yes please"])
def test_a_label_that_says_neither_is_none(label: str) -> None:
    """A label that is neither yes nor no leaves it to the globs."""
    assert ContainerFilter(["web"], []).matches("web", {"usage-agent.enable": label})
    assert not ContainerFilter(["web"], ["web"]).matches("web", {"usage-agent.enable": label})
