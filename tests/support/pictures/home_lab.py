"""Containers as somebody may have at home, by their names: what they do is use CPU, memory, network and disk."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from support.daemons.docker_cli import DockerCli, Option
from support.daemons.workloads import ADDRESS

WORK = """\
[ -z "$HOLD" ] || dd if=/dev/zero of=/shm/held bs=1M count="$HOLD" 2>/dev/null
for size in $SIZES; do dd if=/dev/zero of=/www/$size bs=1k count=$size 2>/dev/null; done
httpd -h /www
while :; do
    for step in $STEPS; do
        i=0; while [ $i -lt ${step%%/*} ]; do i=$((i+1)); done
        step=${step#*/}
        [ ${step%/*} = 0 ] || wget -q -O /dev/null "http://$SERVER/${step%/*}"
        [ ${step#*/} = 0 ] || dd if=/dev/zero of=/data/file bs=16k count=${step#*/} conv=fsync 2>/dev/null
        sleep 1
    done
done
"""
"""A step has three numbers, such as 70000/200/40: rounds of a loop, kB to read from the server, blocks to write."""
SIZES = (5, 20, 50, 100, 200, 500, 1000, 2000)  # kB, of the files of the server
STEPS = 120  # of about a second, before it begins again
ROUNDS_A_SECOND = 700_000  # of the loop, about
BLOCKS_A_MEGABYTE = 61


@dataclass(frozen=True)
class Service:
    """A container that works. What it does comes and goes in waves.

    Attributes:
        image: its name in the pictures.
        project: of Compose.
        cpu: percent of a core.
        hold: MiB of memory.
        fetch: kB per second that it reads from the first container.
        write: MB per second that it writes.
        options: further ones of `docker run`.
    """

    image: str
    project: str
    cpu: float
    hold: int
    fetch: float = 0
    write: float = 0
    options: dict[str, Option] = field(default_factory=dict)


HEALTHY: dict[str, Option] = {"health_cmd": "true", "health_interval": "2s"}
SICK: dict[str, Option] = {"health_cmd": "false", "health_interval": "2s", "health_retries": 1}

NAS = {
    "jellyfin": Service(
        "jellyfin/jellyfin:10.11", "media", 12, 410, 0, 1.5, {"memory": "1g", "cpu_shares": 8192, **HEALTHY}
    ),
    "immich": Service("immich-server:2.3", "media", 5, 340, 200, 0.6, {"memory": "512m", "cpu_shares": 4096}),
    "nextcloud": Service("nextcloud:32", "cloud", 3, 180, 120, 0.1, {"memory": "512m", **HEALTHY}),
    "postgres": Service("postgres:18", "cloud", 1.8, 130, 20, 0.8, {"memory": "256m", **HEALTHY}),
    "traefik": Service("traefik:3.5", "proxy", 1, 38, 900, 0, {"memory": "128m"}),
    "paperless": Service("paperless-ngx:2.19", "cloud", 0.5, 236, 0, 0, {"memory": "256m", **SICK}),
}
NUC = {
    "home-assistant": Service("home-assistant:2026.11", "home", 4, 270, 50, 0.2, {"cpu_shares": 4096, **HEALTHY}),
    "influxdb": Service("influxdb:2.7", "home", 2.2, 150, 20, 0.5, {"memory": "256m"}),
    "zigbee2mqtt": Service("koenkk/zigbee2mqtt:2.6", "home", 1.2, 84, 5),
    "pihole": Service("pihole/pihole:2025.11", "network", 0.6, 62, 20),
    "mosquitto": Service("eclipse-mosquitto:2", "home", 0.1, 9, 5),
}
HOSTS = {"nas": NAS, "nuc": NUC}
ENDED = {"backup": "nas", "immich-ml": "nas"}
"""The containers that end, and their hosts."""


class HomeLab:
    """Starts the containers on an engine, which needs a bridge."""

    def __init__(self, engine: DockerCli, disk: str | None) -> None:
        """Prepare. The block I/O of `disk` is only counted if there is a limit for it (cgroup v1)."""
        self._engine = engine
        self._limits: dict[str, Option] = {"device_write_bps": [f"{disk}:20mb"]} if disk else {}
        self._server = "127.0.0.1"
        self._random = random.Random(3)

    def start(self) -> None:
        """Start all, and two that end soon: one is done, and one wants more memory than it may have."""
        for services in HOSTS.values():
            for name, service in services.items():
                self._work(name, service)
        self._run("backup", "restic:0.18", "cloud", "sleep 3", network="none")
        use_memory = "dd if=/dev/zero of=/dev/null bs=100M count=50"
        self._run("immich-ml", "immich-machine-learning:2.3", "media", use_memory, network="none", memory="32m")

    def _work(self, name: str, service: Service) -> None:
        variables = {"STEPS": " ".join(self._steps(service)), "SERVER": self._server, "HOLD": str(service.hold)}
        variables["SIZES"] = " ".join(map(str, SIZES))
        options: dict[str, Option] = {"env": variables, "tmpfs": ["/shm:size=2g"], "volume": ["/data"]}
        options["network"] = "bridge"
        found = self._run(name, service.image, service.project, WORK, **options, **self._limits, **service.options)
        if name == next(iter(NAS)):
            self._server = self._engine.docker("inspect", f"--format={ADDRESS}", found)

    def _run(self, name: str, image: str, project: str, script: str, **options: Option) -> str:
        self._engine.docker("tag", "busybox", image)
        labels = {"com.docker.compose.project": project, "com.docker.compose.service": name}
        return self._engine.run("sh", "-c", script, name=name, image=image, label=labels, **options)

    def _steps(self, service: Service) -> Iterator[str]:
        """Yield the work of each second: slow waves, and some chance."""
        phase = self._random.uniform(0, 2 * math.pi)
        for step in range(STEPS):
            angle = 2 * math.pi * step / STEPS
            wave = 1 + 0.35 * math.sin(2 * angle + phase) + 0.2 * math.sin(5 * angle) + self._random.uniform(-0.2, 0.2)
            rounds = service.cpu / 100 * wave * ROUNDS_A_SECOND
            size = min(SIZES, key=lambda size: abs(size - service.fetch * wave)) if service.fetch else 0
            yield f"{rounds:.0f}/{size}/{service.write * wave * BLOCKS_A_MEGABYTE:.0f}"
