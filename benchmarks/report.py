"""The results as a page in Markdown."""

from collections.abc import Iterable, Sequence
from math import isinf
from typing import Any

from benchmarks.goals import Results, megabytes, microseconds, outcomes, percent, ratio, seconds

MARKS = {True: "✓", False: "✗", None: "-"}
TITLES = {
    "stream": "**usage-agent, `stream`**",
    "poll": "**usage-agent, `poll`**",
    "kernel": "**usage-agent, `kernel`**",
    "docker-stats": "`docker stats`",
    "docker2mqtt": "docker2mqtt 2.3.1",
    "glances": "Glances 4.5.8",
    "baseline": "the baseline",
}

HEAD = """\
# What usage-agent costs

All values in a table were measured in one run on one machine, so that they can be compared: the ratios matter, not the
values. `scripts/bench` measures them again on your machine and writes this page.

{machine}

![CPU and memory of usage-agent and of other programs](benchmarks-costs.svg)
"""

METHOD = """\
## How it is measured

The testbed is a private engine with {containers} real containers (busybox; one in twenty does a little work, the others
sleep; no networks) and a mosquitto. Number of rounds: {rounds}. In each round every candidate is started, given time to
settle, and measured for {window:g} s; once per round nothing is started, and the idle testbed is measured. Every round
starts with another candidate. The tables show medians of the rounds.

- **CPU** is what the kernel has counted, in percent of one core. *Engine*: dockerd, containerd and the shims, minus
  what they need when idle. *Program*: the program and its children, ended ones included. *Cost*: the sum of both.
  *Host*: everything on the machine minus the idle load, broker included. It is a cross-check, and also contains what
  else the machine did.
- **Memory** is the peak of the resident memory (`VmHWM`), summed over the program and its children.
- **Messages and bytes** are what the broker has counted as received.
- **The baseline** is a loop that reads the same kernel files and publishes as many bytes at QoS 1, and does nothing
  else.
- docker2mqtt runs with `--events --stats`; it leaves out containers whose line in `docker stats` has not changed.
  Glances runs with its containers plugin only, and with one message for all containers (`topic_structure=per-plugin`).
  The output of `docker stats` is discarded.
- **Growth** is measured with a fake engine, a separate process that answers on a socket as a real engine does; QoS 1,
  default settings, `poll` at 10 s and `stream` at 1 s. The values are medians of the same number of rounds, dropped
  usages their sum. A round in which not all containers publish within three minutes is left out. A usage is late if it
  reaches a subscriber more than 100 ms after its container was due. Delays of the fake engine, the broker and the
  subscriber count as well.
"""


def page(results: Results) -> str:
    """Return the whole page."""
    plan = results["plan"]
    parts = [HEAD.format(machine=_machine(results["machine"])), "## Goals\n", _goals(results)]
    for interval, found in results.get("rounds", {}).items():
        parts += [f"## {results['containers']} containers, a usage every {interval} s\n", comparison(found)]
    if results.get("growth"):
        parts += [
            "## From ten containers to thousands\n",
            "![CPU of a usage and memory, by the number of containers](benchmarks-growth.svg)\n",
            growth(results["growth"]),
        ]
    parts += ["## Single values\n", single_values(results)]
    parts.append(METHOD.format(containers=results["containers"], rounds=plan["rounds"], window=plan["seconds"]))
    return "\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column is text, the others are numbers."""
    lines = [head, ["---", *("--:" for _ in head[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comparison(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of one interval, highest cost first, each with its ratio to the agent's cheapest source."""
    named = sorted((name for name in found if name in TITLES), key=lambda name: -found[name]["cost"])
    agent_costs = [found[name]["cost"] for name in ("stream", "poll", "kernel") if name in found]
    least = min(agent_costs, default=0)
    head = [
        "",
        "engine",
        "program",
        "cost",
        "cost, range",
        "ratio to the agent's least",
        "host",
        "memory",
        "messages/s",
        "bytes/s",
    ]
    return table(head, ([TITLES[name], *_figures(found[name], least)] for name in named))


def _figures(row: dict[str, Any], least: float) -> list[str]:
    traffic = [f"{row['messages']:.3g}", f"{row['wire']:.0f}"] if row["messages"] else ["-", "-"]
    cores = [percent(row[name]) for name in ("engine", "client", "cost")]
    cores.append(f"{row['least'] * 100:.3g} to {percent(row['most'])}")
    times = ratio(row["cost"] / least) if least else "-"
    return [*cores, times, percent(row["host"]), megabytes(row["peak"]), *traffic]


def growth(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table of the measurements with the fake engine."""
    head = [
        "containers",
        "every",
        "CPU",
        "CPU of a usage",
        "peak memory",
        "arrived",
        "dropped",
        "arrive within 100 ms",
        "99 % arrive within",
    ]
    return table(
        head,
        (
            [
                f"{row['containers']}",
                f"{row['interval']:g} s, `{row['source']}`",
                percent(row["cpu"]),
                microseconds(row["per_usage"]),
                megabytes(row["peak"]),
                f"{row['complete'] * 100:.0f} %",
                f"{row['dropped']}",
                f"{row['on_time'] * 100:.1f} %",
                "-" if isinf(row["late_99"]) else f"{row['late_99'] * 1000:.0f} ms",
            ]
            for row in rows
        ),
    )


def single_values(results: Results) -> str:
    """Return the table of starts, import and CPU time of a usage."""
    rows = []
    for name, start in results.get("starts", {}).items():
        times = f"{seconds(start['first'])}; from every container {seconds(start['all'])}"
        rows.append([f"`{name}`: from the start of the process to the first usage at a subscriber", times])
    if imports := results.get("imports"):
        rows.append(["importing the agent", seconds(imports["seconds"])])
    if usage := results.get("usage"):
        rows.append(
            [
                "CPU of a usage, from the stats document to the acknowledgement (QoS 1), 100 at once",
                microseconds(usage["burst"]),
            ]
        )
        rows.append(["the same, one at a time", microseconds(usage["alone"])])
    return table(["measured", "result"], rows)


def _goals(results: Results) -> str:
    rows = ([each.goal, each.allowed, each.found, MARKS[each.met]] for each in outcomes(results))
    return table(["goal", "limit", "result", ""], rows)


def _machine(machine: dict[str, Any]) -> str:
    return (
        "Measured on {date}: {cores} cores ({cpu}), Linux {kernel}, Docker {docker}, cgroup v{cgroup}, "
        "Python {python}, usage-agent {agent}.".format(**machine)
    )
