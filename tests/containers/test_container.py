"""Inspect documents and events of Docker and Podman, read into containers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.containers.container import Container, container_from_event, parse_inspect, parse_inspect_of
from agent.engine.protocol import Event

ID = "81d2320c84d67601651d9e734201dea74e33f9825b4c3ec101eeff454f518ca3"


def inspect_document(**parts: Any) -> dict[str, Any]:
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


def container_in_state(**parts: Any) -> Container:
    return parse_inspect(inspect_document(State=state(**parts)))


def test_running_container_is_read_completely() -> None:
    """Times are in UTC; a running container has neither an end nor an exit code."""
    assert parse_inspect(inspect_document()) == Container(
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


def test_short_id_has_twelve_digits() -> None:
    """The short id is the one that `docker ps` shows."""
    assert parse_inspect(inspect_document()).short_id == "81d2320c84d6"


def test_exited_container_has_its_end() -> None:
    """Exit code, time of the end, and whether memory ran out are read."""
    ended = {"Status": "exited", "Running": False, "ExitCode": 137, "OOMKilled": True}
    found = container_in_state(**ended, FinishedAt="2026-11-24T18:41:49Z")
    assert (found.running, found.state, found.exit_code, found.oom_killed) == (False, "exited", 137, True)
    assert found.finished_at == "2026-11-24T18:41:49.000000000Z"


def test_container_that_never_ran_has_no_exit_code() -> None:
    """The engine's 0 for a created container is no exit code."""
    found = container_in_state(Status="created", Running=False, StartedAt="0001-01-01T00:00:00Z")
    assert (found.running, found.started_at, found.exit_code) == (False, None, None)


def test_container_that_waits_for_its_restart_does_not_run() -> None:
    """Docker calls it running and restarting at once: it has no processes, but an exit code."""
    found = container_in_state(Status="restarting", Restarting=True, ExitCode=1)
    assert (found.running, found.exit_code) == (False, 1)


@pytest.mark.parametrize("running", [True, False])
def test_paused_container_runs(running: bool) -> None:
    """A pause is no end. `Running` of a paused container is true with Docker, false with Podman."""
    assert container_in_state(Status="paused", Running=running, Paused=True).running


@pytest.mark.parametrize("health", [None, {}, {"Status": ""}, {"Status": "none"}, {"Status": None}, "healthy"])
def test_container_without_a_health_check_has_no_health(health: object) -> None:
    """Docker leaves the health out, or writes `none`; what is no text is ignored."""
    assert container_in_state(Health=health).health is None


def test_podmans_spelling_is_read() -> None:
    """Podman's own API has no slash before the name, and other fields for the image and the health check."""
    document = inspect_document(Name="web", ImageName="docker.io/library/nginx:1.27", Config={"Labels": None})
    document["State"] = {**state(), "Healthcheck": {"Status": "starting"}}
    del document["State"]["Health"]
    found = parse_inspect(document)
    assert (found.name, found.image, found.health, found.labels) == (
        "web",
        "docker.io/library/nginx:1.27",
        "starting",
        {},
    )


def test_image_without_a_name_is_its_hash() -> None:
    """An image whose name another image has now is still identified."""
    assert parse_inspect(inspect_document(Config={"Image": ""})).image == "sha256:837c"


def test_compose_project_and_service_are_labels() -> None:
    """Empty labels count as absent."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "till"}
    found = parse_inspect(inspect_document(Config={"Image": "x", "Labels": labels}))
    assert (found.project, found.service) == ("shop", "till")
    found = parse_inspect(inspect_document(Config={"Image": "x", "Labels": dict.fromkeys(labels, "")}))
    assert (found.project, found.service) == (None, None)


@pytest.mark.parametrize("name", ["a/#+b", "//", "über\n\x00", "x" * 1000, " ", "'; rm -rf"])
def test_hostile_names_are_kept(name: str) -> None:
    """Names, images and labels are kept as they are, without the slash that Docker puts before a name."""
    labels = {name: name}
    found = parse_inspect(inspect_document(Name="/" + name, Config={"Image": name, "Labels": labels}))
    assert (found.name, found.image, found.labels) == (name, name, labels)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "", "soon", None, 5])
def test_time_that_means_never_is_none(time: object) -> None:
    """What the engines write for "never" is no time, and neither is anything else that cannot be read."""
    found = container_in_state(StartedAt=time, FinishedAt=time)
    assert (found.started_at, found.finished_at) == (None, None)


def test_absent_fields_are_none() -> None:
    """Id, name, creation and state are enough; without a status `state` follows from `Running`."""
    found = parse_inspect({"Id": "1", "Name": "web", "Created": "2026-11-24T18:41:47Z", "State": {"Running": True}})
    assert (found.image, found.labels, found.state) == ("", {}, "running")
    assert (found.started_at, found.exit_code, found.oom_killed, found.restart_count) == (None, None, None, None)
    assert parse_inspect(inspect_document(State={"Running": False})).state == "exited"


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
def test_incomplete_document_is_refused(wrong: dict[str, Any], named: str) -> None:
    """Without id, name, creation or state there is no container; the error names the field."""
    with pytest.raises(ValueError, match=named):
        parse_inspect(inspect_document(**wrong))


def test_document_of_another_container_is_refused() -> None:
    """It would be published under a wrong name."""
    assert parse_inspect_of(inspect_document(), ID).id == ID
    with pytest.raises(ValueError, match="Id"):
        parse_inspect_of(inspect_document(), ID[::-1])


def test_error_about_deeply_nested_values_names_their_type() -> None:
    """A value that is nested deeper than Python can print is not printed."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="Id: expected text, found list"):
        parse_inspect(inspect_document(Id=deep))


def test_negative_restart_count_is_ignored() -> None:
    """A negative exit code is kept."""
    assert parse_inspect(inspect_document(RestartCount=-1)).restart_count is None
    assert container_in_state(Running=False, ExitCode=-1).exit_code == -1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    JSON
    | st.builds(inspect_document, **dict.fromkeys(inspect_document(), JSON))
    | st.builds(
        lambda part, rubbish: inspect_document(**{part: rubbish}), st.sampled_from(sorted(inspect_document())), JSON
    )
    | st.builds(
        lambda part, rubbish: inspect_document(State=state(**{part: rubbish})), st.sampled_from(sorted(state())), JSON
    )
)
def test_only_value_error_is_raised(document: Any) -> None:
    """Any value in any field gives a container with fields of the right types, or a ValueError."""
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


def test_start_event_describes_a_container() -> None:
    """It has the id, name, image, labels and the time of the start."""
    attributes = {"image": "nginx:1.27", "name": "web", "com.docker.compose.project": "shop"}
    found = container_from_event(Event(5_000_000_001, "start", "", ID, "web", attributes))
    assert (found.id, found.name, found.image, found.project) == (ID, "web", "nginx:1.27", "shop")
    assert (found.running, found.created, found.started_at) == (True, 5_000_000_001, "1970-01-01T00:00:05.000000001Z")
    assert (found.finished_at, found.exit_code, found.oom_killed, found.restart_count) == (None, None, None, None)
