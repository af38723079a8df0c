"""Two agents that speak for one host: when that can be told from what the broker retains."""

import orjson
import pytest
from conftest import ExpectWarnings

from agent.app.duplicate_agent import DuplicateAgentDetector

TOPIC = "containers/h/status"
OURS, THEIRS = "2026-11-25T02:00:00Z", "2026-11-25T01:00:00Z"
TOO = "another agent, started at 2026-11-25T01:00:00Z, speaks for host h on this broker, too"


def status(started_at: str, word: str = "running", time: str = "1") -> dict[str, bytes]:
    return {TOPIC: orjson.dumps({"status": word, "started_at": started_at, "time": time})}


@pytest.mark.parametrize(
    "looks",
    [
        [{}, {}],
        [status(OURS), status(OURS, "stopped")],
        [status(THEIRS, "stopped")] * 2,
        [{TOPIC: b""}, {TOPIC: b"online"}, {TOPIC: b"[]"}, {TOPIC: b"{}"}, {TOPIC: b'{"started_at":1}'}],
    ],
)
def test_alone(looks: list[dict[str, bytes]]) -> None:
    """What we said, what a crashed agent left behind, and what no agent would say is no rival."""
    rivals = DuplicateAgentDetector("h", TOPIC, OURS)
    for retained in looks:
        rivals.check(retained)


@pytest.mark.parametrize(
    "looks",
    [
        [status(THEIRS)],
        [status(THEIRS, "stopped"), status(THEIRS)],
        [{}, status(THEIRS, "stopped")],
        [status(THEIRS, "stopped", "1"), status(THEIRS, "stopped", "2")],
    ],
)
def test_not_alone(
    looks: list[dict[str, bytes]], expected_warnings: ExpectWarnings, caplog: pytest.LogCaptureFixture
) -> None:
    """One that runs, or has spoken since the first look, is told of, once."""
    expected_warnings(TOO)
    rivals = DuplicateAgentDetector("h", TOPIC, OURS)
    for retained in looks + looks:
        rivals.check(retained)
    assert len(caplog.records) == 1
