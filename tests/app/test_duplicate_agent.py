"""Another agent of the same host is detected by what the broker retains."""

import orjson
import pytest
from conftest import ExpectWarnings

from agent.app.duplicate_agent import DuplicateAgentDetector

TOPIC = "containers/h/status"
OWN_START, OTHER_START = "2026-11-25T02:00:00Z", "2026-11-25T01:00:00Z"
WARNING = "another agent, started at 2026-11-25T01:00:00Z, publishes for host h on this broker too"


def retained(started_at: str, status: str = "running", time: str = "1") -> dict[str, bytes]:
    """Return the retained messages of the agent that was started at `started_at`."""
    return {TOPIC: orjson.dumps({"status": status, "started_at": started_at, "time": time})}


@pytest.mark.parametrize(
    "checks",
    [
        [{}, {}],
        [retained(OWN_START), retained(OWN_START, "stopped")],
        [retained(OTHER_START, "stopped")] * 2,
        [{TOPIC: b""}, {TOPIC: b"online"}, {TOPIC: b"[]"}, {TOPIC: b"{}"}, {TOPIC: b'{"started_at":1}'}],
    ],
)
def test_own_status_and_that_of_an_ended_agent_cause_no_warning(checks: list[dict[str, bytes]]) -> None:
    """Our own status, the will of an agent that crashed before us, and what no agent would publish are no duplicate."""
    detector = DuplicateAgentDetector("h", TOPIC, OWN_START)
    for messages in checks:
        detector.check(messages)


@pytest.mark.parametrize(
    "checks",
    [
        [retained(OTHER_START)],
        [retained(OTHER_START, "stopped"), retained(OTHER_START)],
        [{}, retained(OTHER_START, "stopped")],
        [retained(OTHER_START, "stopped", "1"), retained(OTHER_START, "stopped", "2")],
    ],
)
def test_a_second_agent_is_warned_of_once(
    checks: list[dict[str, bytes]], expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent that runs, or has published since the first check, is logged once."""
    expected_warnings(WARNING)
    detector = DuplicateAgentDetector("h", TOPIC, OWN_START)
    for messages in checks + checks:
        detector.check(messages)
    assert len(caplog.records) == 1
