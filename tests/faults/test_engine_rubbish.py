"""The engine answers, but what it answers is of no use: that costs a usage of a container, and a counted error."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from support.assertions.recording_subscriber import RecordingSubscriber
from support.daemons.agent import RunningAgent
from support.daemons.mosquitto import Mosquitto
from support.daemons.processes import PATIENCE, wait_until
from support.fakes.engine import Answer, FakeContainer, FakeEngine, Script
from support.fakes.http import json_answer

from faults.assertions import HASTY, SOON, Figures, assert_sound

Watch = Callable[..., RunningAgent]
View = Callable[[Mosquitto], RecordingSubscriber]

EVENTS, LIST, INSPECT, STATS = "/events", "/containers/json", "/containers/{id}/json", "/containers/{id}/stats"
OK = b"HTTP/1.1 200 OK\r\n"
DEEP = b"[" * 1000 + b"]" * 1000
MANY = 64 << 10  # bytes


def endless(piece: bytes) -> Iterator[bytes]:
    """Send it for ever, as fast as it is taken."""
    while True:
        yield piece


def rubbish() -> dict[str, Answer]:
    """Return all kinds of answers that are of no use, fresh ones."""
    return {
        "500": json_answer({"message": "something is on fire"}, 500),
        "404": json_answer({"message": "page not found"}, 404),
        "409": json_answer({"message": "is restarting"}, 409),
        "a long 500": Answer(500, b'{"message":"' + b"x" * 100_000 + b'"}'),
        "a redirect": Answer(302, headers={"Location": "/_ping"}),
        "a page": Answer(body=b"<html><h1>It works!</h1></html>\n", content_type="text/html"),
        "nothing": Answer(),
        "half a document": Answer(body=b'{"Id":"', truncated=True),
        "half a chunk": Answer(raw=[OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}\n"]),
        "an impossible chunk": Answer(raw=[OK + b"Transfer-Encoding: chunked\r\n\r\n-9223372036854775809\r\n{}\n"]),
        "a wrong length": Answer(raw=[OK + b"Content-Length: 3\r\n\r\n{}\n{}\n"]),
        "no end of it": Answer(chunks=endless(b"x" * MANY)),
        "no end of lines": Answer(chunks=endless(b"\n" * MANY)),
        "no HTTP": Answer(raw=[b"SSH-2.0-OpenSSH_9.2\r\n"]),
        "null": Answer(body=b"null\n"),
        "a text": Answer(body=b'"running"\n'),
        "numbers": Answer(body=b"[1, 2, 3]\n"),
        "another object": Answer(body=b'{"Type":"container","Id":1,"State":"running","read":7,"Version":1}\n'),
        "brackets": Answer(body=DEEP + b"\n"),
        "a deep object": Answer(body=b'{"Id":%s,"read":"2026-11-24T18:41:47Z","cpu_stats":%s}\n' % (DEEP, DEEP)),
    }


def asked_for(fake: FakeEngine, web: FakeContainer, script: Script) -> bool:
    """Say whether the agent has asked for it; until then, make it."""
    if script.used == 0 and script.pattern == INSPECT:
        fake.events.push(fake.event("oom", web))
    elif script.used == 0 and script.pattern != STATS:
        fake.events.end()  # again and again: a subscription that was just being renewed would not hear of it
    return script.used > 0


@pytest.mark.parametrize(
    ("route", "kinds"),
    [
        (INSPECT, sorted(rubbish())),
        (STATS, sorted(rubbish())),
        *((route, ["500", "an impossible chunk", "another object"]) for route in (EVENTS, LIST, "/version", "/info")),
    ],
    ids=["inspect", "stats", "events", "list", "version", "info"],
)
def test_the_engine_answers_rubbish_now_and_then(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    watch: Watch,
    view: View,
    route: str,
    kinds: list[str],
) -> None:
    """Each bad answer, of whatever kind, is a counted error: no status changes, usages go on, and are right."""
    broker = own_broker()
    viewer = view(broker)
    web, _ = fake_engine.run("web"), fake_engine.run("other")
    running = watch(fake_engine, broker, engine={"timeout": 2, "source": "poll"}, backoff=HASTY)
    for name in ("web", "other"):
        viewer.usages(name, count=2)
    before = Figures.of(running)
    for kind in kinds:
        errors = viewer.counters(after=time.monotonic())["engine"]["errors"]
        script = fake_engine.script(route, rubbish()[kind], times=1)
        wait_until(partial(asked_for, fake_engine, web, script), PATIENCE, f"{kind} is not asked for")
        viewer.wait_for(lambda m, least=errors: m.topic.endswith("/agent") and m.json["engine"]["errors"] > least)  # type: ignore[misc]
        back = time.monotonic()
        for name in ("web", "other"):
            viewer.usages(name, after=back)
    before.assert_not_grown(running, rss=25)
    assert viewer.statuses("web") == viewer.statuses("other") == ["running"]
    assert_sound(running, viewer)
    assert max(len(line) for line in running.lines) < 1000


@pytest.mark.parametrize("source", ["stream", "poll"])
def test_the_engine_has_no_figures_for_one_container(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View, source: str
) -> None:
    """The others' usages go on; it is told once, and when the engine has figures again so has everybody."""
    broker = own_broker()
    viewer = view(broker)
    web, _ = fake_engine.run("web"), fake_engine.run("other")
    running = watch(fake_engine, broker, engine={"source": source}, backoff=HASTY)
    viewer.usages("web", count=2)
    web.raw = b'{"read":"2026-11-24T18:41:47Z","cpu_stats":{"cpu_usage":{"total_usage":"many"}}}\n'
    running.wait_for_line("no readings of web: .*total_usage")
    viewer.usages("other", count=8, after=time.monotonic())
    assert len(running.wait_for_line("no readings of web")) == 1
    web.raw = None
    viewer.usages("web", count=2, after=time.monotonic())
    running.wait_for_line("readings of web are back")
    assert viewer.statuses("web") == ["running"]
    assert viewer.missing("web") == 0
    assert_sound(running, viewer)


def no_cpu_time(document: dict[str, Any]) -> None:
    document["cpu_stats"] = {}


def texts(document: dict[str, Any]) -> None:
    for part in ("cpu_stats", "memory_stats", "networks", "blkio_stats", "pids_stats"):
        document[part] = "many"


def beyond_all_counters(document: dict[str, Any]) -> None:
    document["cpu_stats"]["cpu_usage"]["total_usage"] = 2**64 - 1


def below_zero(document: dict[str, Any]) -> None:
    document["cpu_stats"]["cpu_usage"]["total_usage"] = -5


def no_time(document: dict[str, Any]) -> None:
    document["read"] = "yesterday"


class Once:
    """Spoils a single document."""

    def __init__(self, spoil: Callable[[dict[str, Any]], None]) -> None:
        self.done = False
        self._spoil = spoil

    def __call__(self, document: dict[str, Any]) -> None:
        """Spoil it, if it is the first."""
        if not self.done:
            self.done = True
            self._spoil(document)


def test_one_document_is_wrong(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """It costs one usage and one error, and nothing is logged; the next usage covers the time in between."""
    broker = own_broker()
    viewer = view(broker)
    web = fake_engine.run("web")
    running = watch(fake_engine, broker, engine={"source": "stream"})
    viewer.usages("web", count=2)
    wrong = [no_cpu_time, texts, beyond_all_counters, below_zero, no_time]
    for number, spoil in enumerate(wrong, 1):
        web.change = once = Once(spoil)
        wait_until(lambda once=once: once.done, PATIENCE, "no document is sent")  # type: ignore[misc]
        viewer.usages("web", count=2, after=time.monotonic())
        assert viewer.counters(after=time.monotonic())["engine"]["errors"] == number
    assert_sound(running, viewer)
    assert viewer.missing("web") == 0
    assert "no readings" not in running.log
    assert sum(usage["interval"] > 1.5 for usage in viewer.usages("web")) >= len(wrong)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Answer(body=b"<html>"),
        lambda: Answer(chunks=endless(b"rubbish\n")),
        lambda: Answer(500, b"no. " + str(time.time_ns()).encode()),
    ],
    ids=["a page", "rubbish", "other words each time"],
)
def test_the_engine_has_no_events(
    fake_engine: FakeEngine,
    own_broker: Callable[..., Mosquitto],
    watch: Watch,
    view: View,
    answer: Callable[[], Answer],
) -> None:
    """An agent that hears of nothing goes on with what it knows, asks more and more seldom, and says so once."""
    broker = own_broker()
    viewer = view(broker)
    web = fake_engine.run("web")
    running = watch(fake_engine, broker)
    viewer.usages("web", count=2)
    lines = len(running.lines)
    looks = fake_engine.requests[INSPECT]
    fake_engine.script(EVENTS, answer())
    fake_engine.events.end()
    viewer.usages("web", count=15, after=time.monotonic())
    assert len(running.lines) - lines <= 24, running.log
    assert fake_engine.requests[INSPECT] - looks <= 12
    fake_engine.behave()
    fake_engine.die(web, 4, event=False)
    assert viewer.status("web", "exited")["exit_code"] == 4
    assert_sound(running, viewer)


def odd_event(container: FakeContainer, **changes: Any) -> bytes:
    """Return the event of a container's end, but for what is wrong with it."""
    actor = {"ID": container.id, "Attributes": {"name": container.name, "exitCode": "0"}}
    event = {"Type": "container", "Action": "die", "Actor": actor, "timeNano": time.time_ns()}
    return json.dumps(event | changes).encode() + b"\n"


def test_events_are_wrong(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """An event that cannot be is an error and nothing else: what the engine says when asked is what holds."""
    broker = own_broker()
    viewer = view(broker)
    web = fake_engine.run("web")
    running = watch(fake_engine, broker)
    viewer.usages("web")
    wrong: list[dict[str, Any]] = [
        {"timeNano": 10**29},
        {"timeNano": -(10**20)},
        {"timeNano": "now"},
        {"Actor": None},
        {"Actor": {"ID": web.id[:12]}},
        {"Actor": {"ID": web.id, "Attributes": {"exitCode": 7}}},
        {"Action": ["die"]},
    ]
    for changes in wrong:
        fake_engine.events.push(odd_event(web, **changes))
    viewer.wait_for(lambda m: m.topic.endswith("/agent") and m.json["engine"]["errors"] >= len(wrong))
    viewer.usages("web", count=2, after=time.monotonic())
    assert viewer.statuses("web") == ["running"]
    fake_engine.events.push(
        odd_event(web, Actor={"ID": "0" * 64, "Attributes": {"exitCode": "9" * 5000}}, Action="start")
    )
    fake_engine.die(web, 3)
    assert viewer.status("web", "exited")["exit_code"] == 3
    assert_sound(running, viewer)


def test_the_list_is_wrong(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """Rows that are no containers, twice the same, without names or states: the others are followed all the same."""
    broker = own_broker()
    viewer = view(broker)
    web, other = fake_engine.run("web"), fake_engine.run("other")
    row = web.row()
    nameless = {"Id": other.id, "Names": None, "State": None}
    fake_engine.script(LIST, json_answer([None, row, {"Id": 5}, row, nameless, {}, "web", {"Id": "0" * 64}]))
    running = watch(fake_engine, broker)
    for name in ("web", "other"):
        viewer.usages(name, count=2)
    counters = viewer.counters(after=time.monotonic())
    assert counters["containers"] == 2
    assert counters["engine"]["errors"] > 0
    assert_sound(running, viewer)


def test_the_list_forgets_containers_that_run(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """A list that lacks them stops nobody: asked about each, the engine knows it."""
    broker = own_broker()
    viewer = view(broker)
    fake_engine.run("web")
    running = watch(fake_engine, broker)
    viewer.usages("web")
    looks = fake_engine.requests[INSPECT]
    fake_engine.script(LIST, json_answer([]))

    def listed_anew() -> bool:
        fake_engine.events.end()
        return fake_engine.requests[INSPECT] > looks

    wait_until(listed_anew, PATIENCE, "nobody asks")
    viewer.usages("web", count=3, after=time.monotonic())
    assert viewer.statuses("web") == ["running"]
    assert_sound(running, viewer)


@pytest.mark.parametrize(
    ("route", "answer"),
    [
        (LIST, json_answer([None, {}])),
        (INSPECT, Answer(body=b"{}")),
        (INSPECT, Answer(500)),
        (STATS, Answer(body=b"<html>")),
        ("/version", json_answer({"Version": "1", "ApiVersion": "1." + "9" * 5000})),
    ],
)
def test_check_of_an_engine_that_answers_rubbish(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, route: str, answer: Answer
) -> None:
    """`check` says so, with the exit code for it: 3, or 0 where only one container has no readings."""
    fake_engine.run("web")
    fake_engine.script(route, answer)
    checking = watch(fake_engine, own_broker(), "check")
    assert checking.wait() == (0 if route == STATS else 3)
    assert "Traceback" not in checking.log
    assert any(line.startswith(("FAIL", "warn")) for line in checking.output), checking.output


def test_the_engine_knows_nothing_of_a_container_that_runs(
    fake_engine: FakeEngine, own_broker: Callable[..., Mosquitto], watch: Watch, view: View
) -> None:
    """An inspection that fails at the start costs no more than a moment; the other container does not wait for it."""
    broker = own_broker()
    viewer = view(broker)
    web = fake_engine.run("web", looked_at=Answer(500))
    fake_engine.run("other")
    running = watch(fake_engine, broker)
    viewer.usages("other")
    assert viewer.statuses("web") == []
    web.looked_at = None
    viewer.usages("web", timeout=SOON)
    assert_sound(running, viewer)
