"""The results as Markdown."""

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
    "floor": "the floor",
}

HEAD = """\
# What usage-agent costs

All figures of a table are from one run on one machine, and made to be compared with each other: what counts is the
ratio. `scripts/bench` takes them again, on your machine, and writes this page.

{machine}

![CPU and memory of usage-agent and of what one would use instead](benchmarks-costs.svg)
"""

METHOD = """\
## How it is measured

A private engine with {containers} real containers (busybox; one in twenty does a little, the others sleep; no
networks) and a mosquitto. Rounds: {rounds}. In each, every candidate in turn is started, given time to settle, and
measured for {window:g} s; every round begins with another one, and has a stretch in which nobody asks. The tables show
medians.

- **CPU** is what the kernel has counted, in percent of one core. *Engine*: dockerd, containerd and the shims, above the
  idle stretches. *Itself*: the program with its children, ended ones too. *Cost* is their sum. *Host*,
  everything the machine was busy with above the idle stretches, broker included, is a cross-check: it also sees
  whatever else the machine did.
- **Memory** is the most that was resident (`VmHWM`), summed over the program and its children.
- **Messages and bytes** are the broker's own count of what it has received.
- **The floor** is a loop that reads the same kernel files and publishes as many bytes at QoS 1, and does nothing else.
- docker2mqtt runs with `--events --stats`; it leaves out containers whose line in `docker stats` has not changed.
  Glances runs with its containers plugin alone, and with one message for all containers (`topic_structure=per-plugin`).
  `docker stats` prints into nothing.
- **Growth** is on a fake engine, a process of its own that answers over its socket as a real one; QoS 1, default
  settings, `poll` at 10 s and `stream` at 1 s; as many rounds, of what was dropped the sum. A round in which not all
  containers publish within three minutes is left out. A usage is late if it reaches a subscriber more than 100 ms after
  its container's turn. What the fake engine, the broker and the subscriber are late counts with it.
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
    parts += ["## Small figures\n", small(results)]
    parts.append(METHOD.format(containers=results["containers"], rounds=plan["rounds"], window=plan["seconds"]))
    return "\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column is text, the others are figures."""
    lines = [head, ["---", *("--:" for _ in head[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comparison(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of one interval, the dearest first, each as a ratio to the cheapest of ours."""
    named = sorted((name for name in found if name in TITLES), key=lambda name: -found[name]["cost"])
    ours = [found[name]["cost"] for name in ("stream", "poll", "kernel") if name in found]
    least = min(ours, default=0)
    head = ["", "engine", "itself", "cost", "in all rounds", "to our least", "host", "memory", "messages/s", "bytes/s"]
    return table(head, ([TITLES[name], *_figures(found[name], least)] for name in named))


def _figures(row: dict[str, Any], least: float) -> list[str]:
    traffic = [f"{row['messages']:.3g}", f"{row['wire']:.0f}"] if row["messages"] else ["-", "-"]
    cores = [percent(row[name]) for name in ("engine", "client", "cost")]
    cores.append(f"{row['least'] * 100:.3g} to {percent(row['most'])}")
    times = ratio(row["cost"] / least) if least else "-"
    return [*cores, times, percent(row["host"]), megabytes(row["peak"]), *traffic]


def growth(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table of the fake engine."""
    head = [
        "containers",
        "every",
        "CPU",
        "CPU of a usage",
        "peak memory",
        "arrived",
        "dropped",
        "within 100 ms",
        "99 % within",
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


def small(results: Results) -> str:
    """Return the table of what is measured for itself."""
    rows = []
    for name, start in results.get("starts", {}).items():
        times = f"{seconds(start['first'])}; from every container {seconds(start['all'])}"
        rows.append([f"`{name}`: from the start of the process to the first usage at a subscriber", times])
    if imports := results.get("imports"):
        rows.append(["importing the agent", seconds(imports["seconds"])])
    if usage := results.get("usage"):
        rows.append(
            [
                "CPU of a usage, from the picked reading to the acknowledgement (QoS 1), 100 at once",
                microseconds(usage["burst"]),
            ]
        )
        rows.append(["the same, one at a time", microseconds(usage["alone"])])
    return table(["what", "figure"], rows)


def _goals(results: Results) -> str:
    rows = ([each.goal, each.allowed, each.found, MARKS[each.met]] for each in outcomes(results))
    return table(["goal", "allowed", "found", ""], rows)


def _machine(machine: dict[str, Any]) -> str:
    return (
        "Taken on {date}: {cores} cores ({cpu}), Linux {kernel}, Docker {docker}, cgroup v{cgroup}, Python {python}, "
        "usage-agent {agent}.".format(**machine)
    )
