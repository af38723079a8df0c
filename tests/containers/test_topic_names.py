"""Which topic level a container has."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.containers.container import Container
from agent.containers.topic_names import TopicNames
from agent.runtime.text import topic_level

OLD, NEW = "a" * 64, "b" * 64


def container(container_id: str = OLD, name: str = "web", created: int = 1, **labels: str) -> Container:
    """Return a container; the arguments are what its level depends on."""
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
def test_every_name_becomes_one_level(name: str) -> None:
    """No name, however hostile, makes an empty level, a second level, a wildcard, or characters that MQTT forbids."""
    level = topic_level(name)
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
def test_template_makes_one_or_more_levels(template: str, level: str) -> None:
    """A slash in the template separates levels; a slash in a label does not."""
    assert TopicNames(template).allocate(container(project="shop", service="front/end")) == {OLD: level}


def test_project_and_service_of_a_container_without_compose_are_its_name() -> None:
    """A container that Compose did not create has its name in the place of both."""
    assert TopicNames("{project}/{service}").allocate(container()) == {OLD: "web/web"}


@pytest.mark.parametrize("first", [OLD, NEW])
def test_older_container_keeps_the_plain_level(first: str) -> None:
    """If two containers would collide, the time of creation decides, whichever became known first."""
    both = {OLD: container(OLD, "a/b", created=1), NEW: container(NEW, "a+b", created=2)}
    names = TopicNames("{name}")
    names.allocate(both.pop(first))
    (other,) = both.values()
    assert names.allocate(other) == {OLD: "a_b", NEW: f"a_b-{NEW[:12]}"}


def test_plain_level_goes_to_the_next_container() -> None:
    """When the older container is removed, the other one gets the plain level: only existing containers count."""
    names = TopicNames("{service}")
    names.allocate(container(OLD, "web-1", created=1, service="web"))
    names.allocate(container(NEW, "web-2", created=2, service="web"))
    assert names.release(OLD) == {NEW: "web"}
    assert names.release(NEW) == {}
    assert names.release(NEW) == {}


@pytest.mark.parametrize("third_first", [False, True])
def test_name_that_equals_the_level_of_another_container(third_first: bool) -> None:
    """A container whose name is `web-<short id of another>` gets its own short id, whichever became known first."""
    third = "c" * 64
    names = TopicNames("{service}")
    claims = [
        container(OLD, "web-1", created=1, service="web"),
        container(NEW, "web-2", created=2, service="web"),
        container(third, "web-3", created=3, service=f"web-{NEW[:12]}"),
    ]
    levels: dict[str, str | None] = {}
    for claimant in reversed(claims) if third_first else claims:
        levels |= names.allocate(claimant)
    assert levels == {OLD: "web", NEW: f"web-{NEW[:12]}", third: f"web-{NEW[:12]}-{third[:12]}"}
    assert names.release(NEW) == {OLD: "web", third: f"web-{NEW[:12]}"}


def test_renamed_container_frees_its_level() -> None:
    """A renamed container gets a new level, and the container that had collided with its old name gets the old one."""
    names = TopicNames("{name}")
    names.allocate(container(OLD, "a/b", created=1))
    names.allocate(container(NEW, "a+b", created=2))
    assert names.allocate(container(OLD, "c", created=1)) == {OLD: "c", NEW: "a_b"}


def test_own_short_id_before_the_name_is_temporary() -> None:
    """`<own short id>_web` is still `web`; it gives way to the new `web`, and gets no other level."""
    names = TopicNames("{name}")
    old = container(OLD, "web", created=1)
    assert names.allocate(old) == {OLD: "web"}
    assert names.allocate(replace(old, name=f"{OLD[:12]}_web")) == {OLD: "web"}
    assert names.allocate(container(NEW, "web", created=2)) == {OLD: None, NEW: "web"}


def test_short_id_of_the_old_container_before_the_name_is_temporary() -> None:
    """The new container has the old one's short id before its name until the old one is removed."""
    names = TopicNames("{name}")
    names.allocate(container(OLD, "web", created=1))
    assert names.allocate(container(NEW, f"{OLD[:12]}_web", created=2)) == {OLD: "web", NEW: None}


def test_twelve_hexadecimal_digits_that_are_no_short_id_belong_to_the_name() -> None:
    """Only the short id of a known container is a temporary prefix."""
    assert TopicNames("{name}").allocate(container(OLD, "0123456789ab_web")) == {OLD: "0123456789ab_web"}
