"""What is believed of hosts and containers, from any messages in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet.container import MAX_LATE_USAGES
from agent.fleet.history import SERIES
from agent.fleet.room import MAX_HOSTS
from agent.fleet.state import FORGET_SECONDS
from fleet.fleets import PI, dropped, fleet_of, state
from fleet.messages import START, Host, container, topic_and_payload


def test_a_container_runs_only_while_its_host_does() -> None:
    """The will of a killed agent is all that tells that `running` is no longer true."""
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1)])
    assert state(fleet, 1) == "running"
    will = PI.status("stopped", reason="connection lost")
    fleet.apply(will.topic, will.payload, 2)
    assert state(fleet, 2) == "lost"


def test_states_from_first_status_to_the_end() -> None:
    fleet = fleet_of([PI.status(), PI.container("web")])
    assert state(fleet, 29) == "waiting"
    assert state(fleet, 31) == "late"
    usage, stopped = PI.usage("web", 1), PI.container("web", "stopped", reason="exited", exit_code=1)
    fleet.apply(usage.topic, usage.payload, 40)
    assert state(fleet, 69) == "running"
    assert state(fleet, 71) == "late"
    fleet.apply(stopped.topic, stopped.payload, 72)
    assert state(fleet, 72) == "stopped"
    later = PI.usage("web", 2)  # may come after the status, which is sent before waiting usages
    fleet.apply(later.topic, later.payload, 73)
    assert state(fleet, 73) == "stopped"


@given(st.data())
def test_dropped_usages_whatever_the_order(data: st.DataObject) -> None:
    """A number that never comes is a dropped usage; one that comes late or twice is none."""
    came = data.draw(st.sets(st.integers(2, 40), min_size=1))
    rest = data.draw(st.permutations([*came, *data.draw(st.lists(st.sampled_from(sorted(came)), max_size=10))]))
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1)])
    in_a_row = 0  # so many old ones in a row mean that the numbers began anew
    newest, heard = 1, {1}
    for seq in rest:
        in_a_row = 0 if seq > newest else in_a_row + 1
        newest = max(newest, seq)
        if in_a_row <= MAX_LATE_USAGES:
            message = PI.usage("web", seq)
            fleet.apply(message.topic, message.payload, 0)
            heard.add(seq)
    web = fleet.hosts["pi"].containers["web"]
    assert web.sequence.dropped == max(came) - len(heard)
    assert web.usage is not None
    assert web.usage["seq"] == max(came)
    assert list(web.history.times) == sorted(web.history.times)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_each_run_of_the_agent_counts_from_one(lengths: list[int]) -> None:
    fleet = fleet_of([PI.status(), PI.container("web")])
    second = 0
    for run, length in enumerate(lengths):
        messages = [PI.status(run=run)]
        for seq in range(1, length + 1):
            second += 10
            messages.append(PI.usage("web", seq, at=second))
        for message in messages:
            fleet.apply(message.topic, message.payload, second)
    assert dropped(fleet) == 0
    assert len(fleet.hosts["pi"].containers["web"].history.times) == sum(lengths)


def test_what_was_dropped_before_the_first_usage_of_a_run_counts() -> None:
    fleet = fleet_of(
        [PI.status(), PI.container("web"), PI.usage("web", 7), PI.status(run=1), PI.usage("web", 4, at=90)]
    )
    assert dropped(fleet) == 3


def test_what_this_side_has_missed_is_not_dropped() -> None:
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1)])
    fleet.on_connect(50)
    again, later = PI.usage("web", 1), PI.usage("web", 9)
    for message in (again, later):
        fleet.apply(message.topic, message.payload, 51)
    assert dropped(fleet) == 0
    assert list(fleet.hosts["pi"].containers["web"].history.times) == [START + 10, START + 90]


def test_a_recreated_container_counts_anew() -> None:
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 500)])
    recreated = {**container("web"), "id": "f" * 64}
    for message in (PI.container("web", container=recreated), PI.usage("web", 1, at=5010, container=recreated)):
        fleet.apply(message.topic, message.payload, 10)
    assert dropped(fleet) == 0
    assert state(fleet, 11) == "running"


def test_numbers_that_can_never_come_again_do_not_silence_a_container() -> None:
    """A message of anybody's, or a clock that was wrong, must not be the newest for ever."""
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 10**15, at=10**8)])
    for seq in range(1, MAX_LATE_USAGES + 5):
        message = PI.usage("web", seq)
        fleet.apply(message.topic, message.payload, 10 * seq)
    usage = fleet.hosts["pi"].containers["web"].usage
    assert usage is not None
    assert usage["seq"] == MAX_LATE_USAGES + 4
    assert dropped(fleet) == 0


def test_a_cleared_container_is_gone_and_with_the_last_one_the_host() -> None:
    fleet = fleet_of([PI.container("web"), PI.cleared("web")])
    assert fleet.hosts == {}


def test_what_was_cleared_while_there_was_no_connection_is_gone_after_a_while() -> None:
    """Its retained status does not come again, but a host that connects again later must not lose its history."""
    fleet = fleet_of([PI.status(), PI.container("web"), PI.container("db"), PI.usage("web", 1)])
    fleet.on_connect(100)
    for message in (PI.status(), PI.container("db")):
        fleet.apply(message.topic, message.payload, 101)
    fleet.expire(100 + FORGET_SECONDS - 1)
    assert set(fleet.hosts["pi"].containers) == {"web", "db"}
    fleet.expire(100 + FORGET_SECONDS + 1)
    assert set(fleet.hosts["pi"].containers) == {"db"}


def test_a_late_usage_of_a_removed_container_is_forgotten() -> None:
    fleet = fleet_of([PI.status(), PI.container("web"), PI.cleared("web"), PI.usage("web", 1)])
    fleet.expire(FORGET_SECONDS + 29)
    assert set(fleet.hosts["pi"].containers) == {"web"}
    fleet.expire(FORGET_SECONDS + 31)
    assert set(fleet.hosts["pi"].containers) == set()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=9), children, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["status", "reason", "container", "time", "timestamp", "seq", "interval", "cpu", "last_usage", "started_at"]
)
documents = st.dictionaries(fields, json_values | st.sampled_from(["running", "stopped"]) | st.integers(0, 9))
levels = st.sampled_from(["containers", "pi", "web", "usage", "status", "agent", "", "é", "x" * 3000])


@given(st.lists(st.tuples(st.lists(levels, max_size=5).map("/".join), st.binary(max_size=9) | documents | json_values)))
def test_rubbish_on_any_topic_changes_nothing_that_is_known(messages: list[tuple[str, object]]) -> None:
    other = Host("other")
    fleet = fleet_of([other.status(), other.container("web"), other.usage("web", 1)])
    for topic, document in messages:
        try:
            topic, payload = topic_and_payload(f"containers/{topic}", document)
        except TypeError:  # whole numbers that JSON has, and orjson not
            continue
        fleet.apply(topic, payload, 1)
        for host, one in fleet.containers():
            assert fleet.state(host, one, 2) == "running" or host.name != "other"
    fleet.expire(1e9)
    assert "web" in fleet.hosts["other"].containers


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"status":"well"}', b"{}"])
def test_a_status_that_is_none_is_passed_over(payload: bytes) -> None:
    fleet = fleet_of([PI.status(), PI.container("web"), PI.usage("web", 1)])
    if payload:
        assert fleet.apply("containers/pi/web/status", payload, 1) is None
        assert fleet.apply("containers/pi/status", payload, 1) is None
    assert fleet.apply("containers/pi/web/usage", payload, 1) is None
    assert state(fleet, 2) == "running"


def test_hosts_that_anybody_invents_are_limited() -> None:
    fleet = fleet_of(Host(f"host-{number}").status() for number in range(MAX_HOSTS + 1))
    assert len(fleet.hosts) == MAX_HOSTS
    assert fleet.full


def test_history_reaches_back_so_far_and_no_further() -> None:
    """Of an hour at 10 seconds 360 values are kept, in arrays; more are removed at once than one at a time."""
    fleet = fleet_of([PI.status(), PI.container("web"), *(PI.usage("web", seq) for seq in range(1, 5000))])
    history = fleet.hosts["pi"].containers["web"].history
    assert 360 <= len(history.times) <= 360 + 64
    assert {len(history.series(name)) for name in SERIES} == {len(history.times)}
    assert history.series("cpu")[-1] == 12.5
