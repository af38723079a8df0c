"""The arithmetic of the benchmarks: parsing of the kernel's files, and the results computed from them."""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from support.fakes.container import FakeContainer

from agent.engine import stats
from agent.metrics.rates import compute_usage

sys.path.append(str(Path(__file__).parents[1]))  # at the end: the installed agent comes before the checkout's

from benchmarks import accounting, comparison, growth, listener, micro, plot, report
from benchmarks.documents import Template
from benchmarks.goals import outcomes, ratio
from benchmarks.lateness import Arrival, lateness, quantile, share_within
from benchmarks.measurement import Measurement

NS_PER_SECOND = 10**9
STAT = "17 (a ) (b c) S 4 17 17 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0 5 6 7"


def test_process_with_any_name_is_parsed() -> None:
    """The name of a command may contain parentheses and spaces; the fields begin after the last parenthesis."""
    stat = accounting.Stat.parse(STAT)
    assert stat.parent == 4
    assert stat.ended_children == (33 + 44) * accounting.TICK


def test_the_hosts_cpu_time_excludes_idle_io_wait_and_steal() -> None:
    """The sum is user, nice, system, irq and softirq; guest time is part of user time."""
    text = "cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert accounting.parse_host(text) == 7600321 * accounting.TICK


def test_memory_is_in_bytes_and_a_kernel_thread_has_none() -> None:
    """The kernel writes kB, which are KiB."""
    assert accounting.parse_memory("Name:\tx\nVmHWM:\t     2048 kB\nVmRSS:\t 1024 kB\n") == 2048 * 1024
    assert accounting.parse_memory("Name:\tkthreadd\n") == 0


def test_descendants_are_children_and_their_children() -> None:
    """Other processes are not included."""
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20}
    assert accounting.descendants([10], parents) == {10, 11, 12}


def test_the_cpu_time_of_ended_children_counts() -> None:
    """Otherwise the cost of short-lived processes, such as calls of `docker stats`, would be missing."""
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    before = accounting.cpu({os.getpid()})
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert accounting.cpu({os.getpid()}) - before >= 0.19 * NS_PER_SECOND
    assert os.getpid() in accounting.family(os.getpid())


def test_an_ended_process_counts_as_zero() -> None:
    """A process may end while its files are read."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert accounting.cpu({child.pid}) == 0
    assert accounting.memory({child.pid}) == 0


def test_lateness_is_relative_to_the_containers_own_schedule() -> None:
    """Containers are read at different moments. A usage is late if its reading was taken late or it arrived late."""
    arrivals = [
        Arrival("a", 1_000_000_000, 1_000_000_000),
        Arrival("b", 1_500_000_000, 1_400_000_000),
        Arrival("a", 2_050_000_000, 2_000_000_000),  # delivered 50 ms late
        Arrival("b", 2_600_000_000, 2_600_000_000),  # read 200 ms late
    ]
    assert lateness(arrivals, 1) == pytest.approx([0.0, 0.05, 0.1, 0.2])


def test_a_missing_usage_does_not_shift_the_schedule() -> None:
    """The usage after a gap is compared with its own moment."""
    arrivals = [Arrival("a", k * NS_PER_SECOND + 10_000_000, k * NS_PER_SECOND) for k in (1, 2, 5)]
    assert lateness(arrivals, 1) == pytest.approx([0.01] * 3)


def test_shares_and_quantiles() -> None:
    """The share of an empty list is 0."""
    values = [number / 100 for number in range(1, 101)]
    assert share_within(values, 0.9) == pytest.approx(0.9)
    assert quantile(values, 0.99) == 0.99
    assert share_within([], 1) == 0


def test_import_times_are_sorted_by_each_modules_own_time() -> None:
    """The first line is a heading; names are indented by depth."""
    head = "import time: self [us] | cumulative | imported package\n"
    text = head + "import time:       100 |        900 |   a.b\nimport time:       800 |        800 | c\n"
    assert micro.parse_import_times(text) == [("c", 0.0008), ("a.b", 0.0001)]


def test_two_rendered_documents_make_a_usage() -> None:
    """The usage has the timestamps for which the documents were rendered."""
    now = time.time_ns()
    template = Template(FakeContainer("f" * 64, "100%", started=now - 100 * NS_PER_SECOND))
    first, second = (stats.parse_stats(template.at(now + k * NS_PER_SECOND), float(k)) for k in (0, 10))
    measurements = compute_usage(first, second, None)
    assert measurements is not None
    assert measurements["timestamp"] == now + 10 * NS_PER_SECOND
    assert measurements["interval"] == 10
    assert measurements["cpu"]["percent"] == pytest.approx(2)
    assert measurements["network"]["rx_rate"] == pytest.approx(1000)


def test_listener_finds_the_timestamp_of_a_usage() -> None:
    """The timestamp is within the first bytes of the payload; the listener keeps only those."""
    payload = json.dumps({"container": {"id": "f" * 64}, "seq": 1, "timestamp": 123, "x": 1}, separators=(",", ":"))
    assert listener.timestamp(payload.encode()[: listener.KEPT_BYTES]) == 123


def test_every_round_begins_with_another_candidate() -> None:
    """Every round has all candidates, so that a drift of the machine favours none of them."""
    assert ["".join(comparison.rotate("abc", number)) for number in range(4)] == ["abc", "bca", "cab", "abc"]


def _measurement(engine: float, client: float) -> Measurement:
    return Measurement(30, engine, client, 0.002, 0.5, 40_000_000, 39_000_000, 10, 5000, 6000)


def test_costs_are_medians_minus_the_median_of_the_idle_measurements() -> None:
    """One burst has no effect. An engine below its idle median does not reduce the cost of the program."""
    idle = [_measurement(engine, 0) for engine in (0.01, 0.02, 0.9)]
    found = comparison.summarize([_measurement(0.11, 0.02), _measurement(0.01, 0.03), _measurement(0.9, 0.04)], idle)
    assert found["engine"] == pytest.approx(0.09)
    assert found["cost"] == pytest.approx(0.12)
    assert (found["least"], found["most"]) == pytest.approx((0.03, 0.92))
    assert comparison.summarize(idle[:1], idle)["cost"] == 0


def _row(cost: float, peak: int) -> dict[str, Any]:
    found = {"engine": cost / 2, "client": cost / 2, "cost": cost, "least": cost / 2, "most": cost * 2, "host": cost}
    return found | {"peak": peak, "messages": 10, "wire": 9}


RESULTS: dict[str, Any] = {
    "containers": 100,
    "plan": {"rounds": 5, "seconds": 30},
    "machine": dict.fromkeys(("date", "cores", "cpu", "kernel", "docker", "cgroup", "python", "agent"), "7"),
    "rounds": {
        "10": {
            "idle": _row(0, 0),
            "poll": _row(0.04, 44_000_000),
            "docker2mqtt": _row(0.4, 90_000_000),
            "glances": _row(0.1, 60_000_000),
        }
    },
    "growth": [
        {"containers": n, "interval": 1, "source": "stream", "cpu": n * 0.0003, "per_usage": 0.0003, "peak": n * 10**5}
        | {"dropped": 0, "on_time": 0.995, "late_99": 0.05, "complete": 1.0}
        for n in (100, 1000, 3000)
    ],
    "usage": {"burst": 0.0001, "alone": 0.0003},
}


def test_growth_is_summarized_as_medians_and_dropped_usages_as_a_sum() -> None:
    """A slow phase of the machine affects few measurements, but every dropped usage counts."""
    measurements = [{"cpu": cpu, "dropped": dropped} for cpu, dropped in ((0.1, 0), (0.9, 1), (0.2, 2))]
    assert growth.summarize(measurements) == {"cpu": 0.2, "dropped": 3}


def test_goals_are_met_missed_or_not_measured() -> None:
    """A goal that was not measured does not count as met."""
    found = {outcome.goal: outcome for outcome in outcomes(RESULTS)}
    assert found["CPU of the host every 10 s: `poll` to docker2mqtt"].met is True
    assert found["CPU of the host every 10 s: `poll` to Glances"].met is False
    assert found["CPU every 10 s, without the engine, which neither uses: `kernel` to the baseline"].met is None
    assert found["1000 fake containers every 1 s: more than 100 ms late"].met is True
    assert found["A usage's CPU every 1 s, growth from 100 to 3000 containers"].found == "0 %"


@pytest.mark.parametrize(("value", "text"), [(0.025, "1/40"), (1.0, "1x"), (2.5, "2.5x"), (0, "0x")])
def test_a_ratio_below_one_is_a_fraction(value: float, text: str) -> None:
    """Ratios of at least one are multiples."""
    assert ratio(value) == text


def test_the_page_shows_what_was_measured() -> None:
    """Parts may be missing. All rows of a table have as many columns as its head."""
    page = report.page(RESULTS)
    assert "| **usage-agent, `poll`** | 2 % | 2 % | 4 % | 2 to 8 % | 1x | 4 % | 44 MB | 10 | 9 |" in page
    for block in page.split("\n\n"):
        if block.startswith("|"):
            assert len({row.count("|") for row in block.splitlines()}) == 1
    assert "None" not in page


def test_the_pictures_are_well_formed() -> None:
    """The pictures name the candidates, and no text is outside of them."""
    for picture, words in ((plot.costs(RESULTS), "docker2mqtt"), (plot.growth(RESULTS), "every 1 s")):
        tree = ET.fromstring(picture)
        assert words in " ".join(tree.itertext())
        width = float(tree.attrib["width"])
        assert all(0 <= float(text.attrib["x"]) <= width for text in tree.iter("{http://www.w3.org/2000/svg}text"))
