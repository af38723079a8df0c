"""Which level a container speaks at."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.containers.container import Container
from agent.containers.topic_names import TopicNames
from agent.messages.topics import safe

OLD, NEW = "a" * 64, "b" * 64


def container(container_id: str = OLD, name: str = "web", created: int = 1, **labels: str) -> Container:
    """Give a container of which only what makes its level matters."""
    return Container(
        id=container_id,
        name=name,
        image="busybox",
        created=created,
        labels={f"com.docker.compose.{key}": value for key, value in labels.items()},
        running=True,
        state="running",
        started_at=None,
        finished_at=None,
        exit_code=None,
        oom_killed=None,
        health=None,
        restart_count=None,
    )


@given(st.text())
def test_any_name_becomes_one_level(name: str) -> None:
    """No name, however hostile, makes an empty level, a second level, a wildcard, or bytes that MQTT forbids."""
    level = safe(name)
    assert level
    assert not set(level) & set("/+#\0\x1f\x7f\x9f\ufffe\ufdd0\U0010ffff")
    assert level.encode()


@pytest.mark.parametrize(
    ("template", "level"),
    [
        ("{name}", "web"),
        ("{id}", OLD),
        ("{short_id}", OLD[:12]),
        ("{project}/{service}", "shop/front_end"),
        ("all/{name}", "all/web"),
    ],
)
def test_template(template: str, level: str) -> None:
    """A template gives one level or several; a slash in a label never adds one."""
    assert TopicNames(template).allocate(container(project="shop", service="front/end")) == {OLD: level}


def test_without_compose_project_and_service_are_the_name() -> None:
    """A container that Compose did not make has its name in the place of both."""
    assert TopicNames("{project}/{service}").allocate(container()) == {OLD: "web/web"}


@pytest.mark.parametrize("first", [OLD, NEW])
def test_the_older_container_keeps_the_plain_level(first: str) -> None:
    """Where two would collide, the time of creation decides, whichever became known first."""
    both = {OLD: container(OLD, "a/b", created=1), NEW: container(NEW, "a+b", created=2)}
    names = TopicNames("{name}")
    names.allocate(both.pop(first))
    (other,) = both.values()
    assert names.allocate(other) == {OLD: "a_b", NEW: f"a_b-{NEW[:12]}"}


def test_the_plain_level_is_passed_on() -> None:
    """When the older one goes, the other gets the plain level: levels follow from the containers there are."""
    names = TopicNames("{service}")
    names.allocate(container(OLD, "web-1", created=1, service="web"))
    names.allocate(container(NEW, "web-2", created=2, service="web"))
    assert names.release(OLD) == {NEW: "web"}
    assert names.release(NEW) == {}
    assert names.release(NEW) == {}


@pytest.mark.parametrize("thief_first", [False, True])
def test_nobody_gets_a_level_that_another_was_put_aside_to(thief_first: bool) -> None:
    """A name that spells the level of another container is put aside itself, whichever came first."""
    thief = "c" * 64
    names = TopicNames("{service}")
    claims = [
        container(OLD, "web-1", created=1, service="web"),
        container(NEW, "web-2", created=2, service="web"),
        container(thief, "web-3", created=3, service=f"web-{NEW[:12]}"),
    ]
    levels: dict[str, str | None] = {}
    for one in reversed(claims) if thief_first else claims:
        levels |= names.allocate(one)
    assert levels == {OLD: "web", NEW: f"web-{NEW[:12]}", thief: f"web-{NEW[:12]}-{thief[:12]}"}
    assert names.release(NEW) == {OLD: "web", thief: f"web-{NEW[:12]}"}


def test_a_rename_moves_and_frees() -> None:
    """A renamed container has its new level, and who collided with its old name has that."""
    names = TopicNames("{name}")
    names.allocate(container(OLD, "a/b", created=1))
    names.allocate(container(NEW, "a+b", created=2))
    assert names.allocate(container(OLD, "c", created=1)) == {OLD: "c", NEW: "a_b"}


def test_the_interlude_of_compose_is_no_name() -> None:
    """`<own short id>_web` is still `web`; it gives way to the new `web` without getting another level."""
    names = TopicNames("{name}")
    old = container(OLD, "web", created=1)
    assert names.allocate(old) == {OLD: "web"}
    assert names.allocate(replace(old, name=f"{OLD[:12]}_web")) == {OLD: "web"}
    assert names.allocate(container(NEW, "web", created=2)) == {OLD: None, NEW: "web"}


def test_the_interlude_with_the_old_containers_id() -> None:
    """The other way round: the new container carries the old one's short id until the old one is gone."""
    names = TopicNames("{name}")
    names.allocate(container(OLD, "web", created=1))
    assert names.allocate(container(NEW, f"{OLD[:12]}_web", created=2)) == {OLD: "web", NEW: None}


def test_a_name_that_only_looks_like_the_interlude() -> None:
    """Twelve hexadecimal digits that are nobody's short id are part of a name."""
    assert TopicNames("{name}").allocate(container(OLD, "0123456789ab_web")) == {OLD: "0123456789ab_web"}
