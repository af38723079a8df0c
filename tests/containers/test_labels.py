"""Labels of a container: how they are read, and what becomes of those that make no sense."""

import pytest
from conftest import ExpectWarnings
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from support.daemons.processes import wait_until
from support.fakes.engine import Answer, FakeEngine

from agent.config.settings import AgentSettings
from agent.containers.labels import MAX_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS, parse_labels
from containers.harness import ContainersHarness, MakeHarness

ENABLE, INTERVAL, NAME = "usage-agent.enable", "usage-agent.interval", "usage-agent.name"


@pytest.mark.parametrize(
    ("text", "seconds"), [("0.5", 0.5), ("30", 30), (" 2.5 ", 2.5), ("3600", 3600), ("1e1", 10), ("+5", 5)]
)
def test_interval_is_seconds(text: str, seconds: float) -> None:
    """Any number from half a second to an hour is an interval."""
    found = parse_labels({INTERVAL: text})
    assert (found.interval, dict(found.mistakes)) == (seconds, {})


@pytest.mark.parametrize("text", ["", "soon", "10s", "nan", "inf", "-5", "0", "0.49", "3600.1", "1_0", "\u0665", "1,5"])
def test_interval_that_makes_no_sense_is_absent(text: str) -> None:
    """What is no number, or none from 0.5 to 3600, is told with what is allowed."""
    found = parse_labels({INTERVAL: text})
    assert found.interval is None
    assert dict(found.mistakes) == {
        INTERVAL: f'label {INTERVAL} is "{text}", allowed is a number from 0.5 to 3600 (seconds); it counts as absent'
    }


def test_range_of_the_label_is_that_of_the_setting() -> None:
    """`usage-agent.interval` takes what `agent.interval` takes."""
    kind = inspect.type_info(AgentSettings)
    assert isinstance(kind, inspect.StructType)
    (interval,) = [field.type for field in kind.fields if field.name == "interval"]
    while isinstance(interval, inspect.Metadata):
        interval = interval.type
    assert isinstance(interval, inspect.FloatType)
    assert (interval.ge, interval.le) == (MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS)


@pytest.mark.parametrize(
    ("text", "name"), [("shop", "shop"), (" my shop ", "my shop"), ("a/b", "a/b"), ("ü" * 127, "ü" * 127)]
)
def test_name_is_any_text(text: str, name: str) -> None:
    """A name may have any characters but control characters; topics make it safe as they do with others."""
    found = parse_labels({NAME: text})
    assert (found.name, dict(found.mistakes)) == (name, {})


@pytest.mark.parametrize(
    "text", ["", "  ", "a\nb", "shop\n", "\x1b[2J", "\u202egnp.exe", "\ud800", "x" * 256, "ü" * 128]
)
def test_name_that_makes_no_sense_is_absent(text: str) -> None:
    """Nothing, blanks only, control characters, or more than 255 bytes in UTF-8."""
    found = parse_labels({NAME: text})
    assert found.name is None
    assert "allowed is text of 1 to 255 bytes" in found.mistakes[NAME]


@given(st.dictionaries(st.sampled_from([ENABLE, INTERVAL, NAME, "other"]), st.text(max_size=400)))
def test_any_text_is_read(labels: dict[str, str]) -> None:
    """Each label has a value or a mistake, unless it is absent; mistakes are short, on one line, and can be encoded."""
    found = parse_labels(labels)
    values = {ENABLE: found.enabled, INTERVAL: found.interval, NAME: found.name}
    for label, value in values.items():
        assert (value is not None) + (label in found.mistakes) == (label in labels)
    for mistake in found.mistakes.values():
        assert len(mistake.encode().splitlines()) == 1
        assert len(mistake) < 800


def test_nonsense_is_told_once_for_each_container_and_label(
    make_harness: MakeHarness,
    fake_engine: FakeEngine,
    expected_warnings: ExpectWarnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often the engine describes a container: the line names it, the label, its value and what is allowed."""
    expected_warnings("label usage-agent", "web cannot be inspected")
    nonsense = {ENABLE: "maybe", INTERVAL: "\x1b[2J\nforged" + "x" * 500, NAME: "  "}
    web = fake_engine.run("web", labels=nonsense)
    fake_engine.run("db", labels={INTERVAL: "0"})
    harness = make_harness()
    harness.expect("running")
    harness.expect("running", of="db")
    fake_engine.pause(web)
    harness.expect("running", "running")
    fake_engine.die(web)
    fake_engine.begin(web)
    harness.expect("running", "running", "exited", "running")
    harness.supervisor.resync(harness.engine.list_containers(), inspect_all=True)
    web.inspect_answer = Answer(500)  # the row of the engine's list has the labels, too
    fake_engine.rename(web, "web")
    harness.wait_for_events()
    harness.wait_for_retries(2)
    told = [line for line in caplog.messages if "label" in line]
    assert sorted(line.partition(" is ")[0] for line in told) == [
        "db: label usage-agent.interval",
        "web: label usage-agent.enable",
        "web: label usage-agent.interval",
        "web: label usage-agent.name",
    ]
    assert 'web: label usage-agent.enable is "maybe", allowed are true and false; it counts as absent' in told
    (shown,) = [line for line in told if line.startswith("web: label usage-agent.interval")]
    assert r'is "\x1b[2J\nforgedxxx' in shown
    assert len(shown) < 250


def test_name_of_the_label_is_the_name_in_topics_and_messages(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Include and exclude go on to select by the container's own name; `docker rename` changes nothing."""
    harness = make_harness(include=("web-*",), exclude=("shop",))
    web = fake_engine.run("web-1", labels={NAME: "shop"})
    fake_engine.run("other", labels={NAME: "web-2"})
    (status,) = harness.expect("running", of="shop")
    assert status.payload["container"]["name"] == "shop"
    harness.wait(lambda: len(harness.usages("shop")) >= 2)
    usage = next(message for message in harness.published if message.topic == "shop/usage")
    assert usage.payload["container"]["name"] == "shop"
    fake_engine.rename(web, "web-9")
    wait_until(lambda: engine_name(harness, web.id) == "web-9", 20, "the rename is not noticed")
    before = harness.usages("shop")[-1]
    harness.wait(lambda: harness.usages("shop")[-1] > before)
    assert [message.summary for message in harness.published_at("shop")] == ["running"]
    assert harness.levels() == {"shop"}
    fake_engine.rename(web, "db")
    harness.expect("running", "excluded", of="shop")


def engine_name(harness: ContainersHarness, container_id: str) -> str | None:
    """Return the name by which the engine has described a container last."""
    with harness.registry.lock:  # held while all that follows from a description is published
        tracked = harness.registry.get(container_id)
        container = tracked.status.container if tracked else None
        return container.name if container else None


def test_name_of_the_label_stands_in_for_project_and_service(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Without Compose both are the container's name; with Compose they are Compose's, and the payload has the name."""
    harness = make_harness(template="{project}/{service}")
    fake_engine.run("web", labels={NAME: "shop"})
    harness.expect("running", of="shop/shop")
    compose = {"com.docker.compose.project": "p", "com.docker.compose.service": "s"}
    fake_engine.run("p-s-1", labels=compose | {NAME: "cart"})
    (status,) = harness.expect("running", of="p/s")
    assert status.payload["container"]["name"] == "cart"


def test_colliding_names_of_labels_are_told_apart(
    make_harness: MakeHarness, fake_engine: FakeEngine, expected_warnings: ExpectWarnings
) -> None:
    """As names are: the older container keeps the plain topic, whether its name is its own or a label's."""
    expected_warnings("web is published as web-[0-9a-f]{12}: an older container has that level")
    harness = make_harness()
    fake_engine.run("web")
    harness.expect("running")
    second = fake_engine.run("other", labels={NAME: "web"})
    (status,) = harness.expect("running", of=f"web-{second.id[:12]}")
    assert status.payload["container"]["name"] == "web"


def test_recreation_by_compose_keeps_the_topic_of_the_label(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """The old container has the same label, and the new one's temporary name or its own: neither gets another topic."""
    harness = make_harness()
    labels = {NAME: "shop"}
    old = fake_engine.run("web", labels=labels)
    harness.expect("running", of="shop")
    new = fake_engine.create(f"{old.id[:12]}_web", created=old.created + 1, labels=labels)
    fake_engine.die(old)
    fake_engine.destroy(old)
    fake_engine.rename(new, "web")
    fake_engine.begin(new)
    messages = harness.expect("running", "exited", "removed", "running", of="shop")
    assert messages[-1].payload["container"]["id"] == new.id
    fake_engine.die(new)
    fake_engine.rename(new, f"{new.id[:12]}_web")
    newest = fake_engine.run("web", created=new.created + 1, labels=labels)
    messages = harness.expect("running", "exited", "removed", "running", "exited", "running", of="shop")
    assert messages[-1].payload["container"]["id"] == newest.id
    assert harness.levels() == {"shop"}


def test_containers_of_one_label_are_published_one_after_the_other(
    make_harness: MakeHarness, fake_engine: FakeEngine
) -> None:
    """Containers that were removed before their inspect do not keep the topic from those that come later."""
    harness = make_harness()
    harness.wait_for_events()
    jobs = [fake_engine.run("job-0", labels={NAME: "job"})]
    for number in range(1, 20):
        fake_engine.destroy(jobs[-1])
        jobs.append(fake_engine.run(f"job-{number}", labels={NAME: "job"}))
    harness.wait(lambda: bool(harness.usages("job")))
    ids = [message.payload["container"]["id"] for message in harness.published_at("job")]
    assert list(dict.fromkeys(ids)) == [job.id for job in jobs]
    assert harness.levels() == {"job"}


def test_interval_of_the_label_is_that_of_one_container(make_harness: MakeHarness, fake_engine: FakeEngine) -> None:
    """A container with a long interval has two readings, one usage, and no more; the others have theirs."""
    harness = make_harness()
    fake_engine.run("slow", labels={INTERVAL: "3600"})
    fake_engine.run("web")
    harness.wait(lambda: bool(harness.usages("slow")))
    harness.wait(lambda: len(harness.usages()) >= 5)
    assert harness.usages("slow") == [1]
