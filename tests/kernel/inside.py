"""Script that runs in the virtual machine: compares engine and kernel for each workload, and runs the agent's unit.

It writes the results to `result.json`, which test_machine.py checks outside.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from support.assertions.engine_and_kernel import EngineAndKernel, flat
from support.daemons.docker_cli import DockerCli
from support.daemons.processes import wait_until
from support.daemons.workloads import MEASURED, Workloads

from agent.config import EngineSettings
from agent.engine.client import EngineClient

UNITS = Path("/run/systemd/system")
OUTPUT = Path("/run/agent-output")
DROP_IN = f"""\
[Service]
ExecStart=
ExecStart=/opt/usage-agent/bin/usage-agent run --dry-run
StandardOutput=truncate:{OUTPUT}
Environment=USAGE_AGENT_AGENT__INTERVAL=2 USAGE_AGENT_ENGINE__TIMEOUT=60
WatchdogSec=300
"""
READINGS = 500
MIN_DISTANCE_NS = 3 * 10**9  # between two comparisons of a container


def main() -> None:
    """Collect all results and write them."""
    report("waiting for the engine")
    socket = Path("/var/run/docker.sock")
    wait_until(socket.exists, 300, "the engine does not start")
    report("importing an image")
    cli = DockerCli()
    cli.import_image("busybox")
    engine = EngineClient(EngineSettings(timeout=60))
    result: dict[str, Any] = {"engine": engine.connect(), "uname": os.uname().release}
    report("making a network")
    workloads = Workloads(cli, Path("/var/lib/docker"))
    result["containers"] = {}
    for start in MEASURED:  # one after the other: together they would leave no CPU time for the comparison
        report(f"comparing {start.__name__}")
        before = cli.containers()
        result["containers"][start.__name__] = compare(engine, start(workloads))
        cli.remove(*(cli.containers() - before))
    report("measuring what a reading costs")
    container = workloads.throttled()
    result["microseconds"] = reading_cost(engine, container)
    report("starting the agent")
    result["ids"] = list(cli.containers())
    result["agent"] = run_agent(result["ids"])
    report("done")
    Path("result.json").write_text(json.dumps(result))


def compare(engine: EngineClient, container: str) -> dict[str, Any]:
    """Read a container from engine and kernel, twice, a few seconds apart."""
    both = EngineAndKernel(engine, container)
    try:
        first = second = both.agreed()
        while second[0].time < first[0].time + MIN_DISTANCE_NS:
            second = both.agreed()
    except AssertionError as error:
        return {"differs": str(error)}
    measured = [part for part in ("memory", "network", "block_io", "pids") if getattr(second[1], part)]
    return {"reported": flat(second[0]), "read": flat(second[1]), "before": flat(first[1]), "measured": measured}


def report(step: str) -> None:
    """Print the step that begins, with the seconds since boot."""
    print(f"{time.monotonic():.0f} s: {step}", flush=True)


def run_agent(ids: list[str]) -> dict[str, str]:
    """Run the agent's unit in its sandbox, until it has published usages of these containers.

    Its messages go to a file, and its timeouts are longer than on a host.
    """
    drop_in = UNITS / "usage-agent.service.d/test.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(DROP_IN)
    shutil.copy("usage-agent.service", UNITS)
    shutil.copy("docker.conf", drop_in.parent)
    Path("/opt/usage-agent/bin").mkdir(parents=True)
    Path("/opt/usage-agent/bin/usage-agent").symlink_to("/mnt/usage-agent")
    systemctl("daemon-reload")
    systemctl("start", "--no-block", "usage-agent")
    with contextlib.suppress(AssertionError):  # the test outside reports what is missing
        wait_until(lambda: '"source":"kernel"' in agent_output(), 240, "the source does not become the kernel")
        wait_until(
            lambda: systemctl("is-active", "usage-agent").strip() == "active", 60, "the unit does not become active"
        )
        # A unit is active as soon as it runs and tries, which may be before the first usage.
        wait_until(lambda: published_ids() >= set(ids), 240, "not all containers have usages")
    state = systemctl("show", "--property=ActiveState,DynamicUser,ProtectProc,NRestarts", "usage-agent")
    systemctl("stop", "usage-agent")
    return {"state": state, "output": agent_output()}


def agent_output() -> str:
    """Return the agent's output so far."""
    return OUTPUT.read_text() if OUTPUT.exists() else ""


def published_ids() -> set[str]:
    """Return the ids of the containers of which the agent has published a usage so far."""
    messages = [line.partition(" ") for line in agent_output().split("\n")[:-1]]  # the last line may be half written
    return {json.loads(payload)["container"]["id"] for topic, _, payload in messages if topic.endswith("/usage")}


def systemctl(*arguments: str) -> str:
    """Run systemctl and return its output."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=300, check=False).stdout


def reading_cost(engine: EngineClient, container: str) -> float:
    """Return the CPU time of one reading in microseconds."""
    files = EngineAndKernel(engine, container).files
    begun = time.process_time()
    for _ in range(READINGS):
        files.read()
    return (time.process_time() - begun) / READINGS * 1e6


if __name__ == "__main__":
    main()
