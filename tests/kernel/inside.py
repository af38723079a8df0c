"""Runs in the small machine: the same containers read both ways, and the agent itself as the unit starts it.

What was found goes to `result.json`, for the tests outside to judge.
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
APART = 3 * 10**9  # ns between two looks at a container


def main() -> None:
    """Find out."""
    tell("waiting for the engine")
    socket = Path("/var/run/docker.sock")
    wait_until(socket.exists, 300, "the engine does not start")
    tell("importing an image")
    cli = DockerCli()
    cli.import_image("busybox")
    engine = EngineClient(EngineSettings(timeout=60))
    result: dict[str, Any] = {"engine": engine.connect(), "uname": os.uname().release}
    tell("making a network")
    workloads = Workloads(cli, Path("/var/lib/docker"))
    result["containers"] = {}
    for start in MEASURED:  # one after the other: all together would leave nothing for the one who looks at them
        tell(f"comparing {start.__name__}")
        before = cli.containers()
        result["containers"][start.__name__] = compare(engine, start(workloads))
        cli.remove(*(cli.containers() - before))
    tell("measuring what a reading costs")
    container = workloads.throttled()
    result["microseconds"] = cost(engine, container)
    tell("starting the agent")
    result["agent"] = agent()
    tell("done")
    result["ids"] = list(cli.containers())
    Path("result.json").write_text(json.dumps(result))


def compare(engine: EngineClient, container: str) -> dict[str, Any]:
    """Read a container both ways, twice, a few seconds apart."""
    both = EngineAndKernel(engine, container)
    try:
        first = second = both.agreed()
        while second[0].time < first[0].time + APART:
            second = both.agreed()
    except AssertionError as error:
        return {"differs": str(error)}
    measured = [part for part in ("memory", "network", "block_io", "pids") if getattr(second[1], part)]
    return {"told": flat(second[0]), "read": flat(second[1]), "before": flat(first[1]), "measured": measured}


def tell(what: str) -> None:
    """Print what is done now, and how long after the boot."""
    print(f"{time.monotonic():.0f} s: {what}", flush=True)


def agent() -> dict[str, str]:
    """Start the agent's unit, sandbox and all; only its messages go to a file, and it has more time than on a host."""
    drop_in = UNITS / "usage-agent.service.d/test.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(DROP_IN)
    shutil.copy("usage-agent.service", UNITS)
    Path("/opt/usage-agent/bin").mkdir(parents=True)
    Path("/opt/usage-agent/bin/usage-agent").symlink_to("/mnt/usage-agent")
    systemctl("daemon-reload")
    systemctl("start", "--no-block", "usage-agent")
    with contextlib.suppress(AssertionError):  # then the test outside says what is missing
        wait_until(lambda: '"source":"kernel"' in said(), 240, "no word of the kernel")
        wait_until(lambda: systemctl("is-active", "usage-agent").strip() == "active", 60, "it does not become active")
    state = systemctl("show", "--property=ActiveState,DynamicUser,ProtectProc,NRestarts", "usage-agent")
    systemctl("stop", "usage-agent")
    return {"state": state, "output": said()}


def said() -> str:
    """Return what the agent has printed."""
    return OUTPUT.read_text() if OUTPUT.exists() else ""


def systemctl(*arguments: str) -> str:
    """Run it, and return what it says."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=300, check=False).stdout


def cost(engine: EngineClient, container: str) -> float:
    """Return the CPU time of a reading, in microseconds."""
    files = EngineAndKernel(engine, container).files
    begun = time.process_time()
    for _ in range(READINGS):
        files.read()
    return (time.process_time() - begun) / READINGS * 1e6


if __name__ == "__main__":
    main()
