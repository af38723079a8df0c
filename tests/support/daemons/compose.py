"""Docker Compose, and images in place of those that the Compose files take from a registry.

Compose is the plugin of Debian 13 (2.26), on every machine: Debian 12 has the old program 1.29 only.
"""

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from support.daemons import debian
from support.daemons.dockerd import PrivateEngine
from support.daemons.processes import PATIENCE, find

SUITE = "trixie"
PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"
MOSQUITTO_CONFIG = b"listener 1883\nallow_anonymous true\n"
PROXY = """\
FROM python
COPY socket_proxy.py /
ENTRYPOINT ["python3", "/socket_proxy.py"]
"""


class Compose:
    """A project of these files, in the directory of the first one."""

    def __init__(self, engine: PrivateEngine, *files: Path) -> None:
        self._engine = engine
        self._files = files
        plugins = engine.directory / "client/cli-plugins"
        if not plugins.exists():
            plugins.mkdir(parents=True)
            (plugins / "docker-compose").symlink_to(
                debian.cached(f"docker-compose-{debian.key(SUITE)}", "Compose", _get)
            )

    @property
    def directory(self) -> Path:
        """The directory of the project."""
        return self._files[0].parent

    def __call__(self, *command: str, **settings: str) -> str:
        """Run a command, such as `up`, and return what it prints; `settings` are environment variables."""
        files = [f"--file={file}" for file in self._files]
        # The classic builder uses the layers that the tests have built already.
        environment: Mapping[str, str] = {**self._engine.environment, "DOCKER_BUILDKIT": "0", **settings}
        done = subprocess.run(
            ["docker", "compose", "--ansi=never", *files, *command],
            capture_output=True,
            env=environment,
            timeout=5 * PATIENCE,
            check=False,
        )
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"docker compose {' '.join(command)}: {output}"
        return output


def import_mosquitto(engine: PrivateEngine) -> None:
    """Import this machine's mosquitto as the image eclipse-mosquitto:2."""
    program = find("mosquitto")
    assert program is not None
    linked = subprocess.run(["ldd", program], capture_output=True, check=True).stdout.decode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for path in [program, *re.findall(r"(/\S+) \(0x", linked)]:
            tar.add(path)
        config = tarfile.TarInfo("mosquitto-no-auth.conf")
        config.size = len(MOSQUITTO_CONFIG)
        tar.addfile(config, io.BytesIO(MOSQUITTO_CONFIG))
    change = f"--change=ENV PATH={Path(program).parent}"
    engine.docker("import", change, "-", "eclipse-mosquitto:2", stdin=packed.getvalue())


def build_socket_proxy(engine: PrivateEngine, directory: Path) -> None:
    """Build the tests' proxy as the image wollomatic/socket-proxy:1, from the image python."""
    shutil.copy(Path(__file__).with_name("socket_proxy.py"), directory)
    (directory / "Dockerfile").write_text(PROXY)
    engine.docker("build", "--quiet", "--network=none", "--tag=wollomatic/socket-proxy:1", str(directory))


def _get(plugin: Path) -> None:
    with tempfile.TemporaryDirectory(dir=plugin.parent) as scratch:
        tree = Path(scratch)
        wanted = ("--download-only", "--variant=minbase", "--include=docker-compose")
        debian.quietly(["debootstrap", *wanted, SUITE, str(tree)])
        [archive] = tree.glob("var/cache/apt/archives/docker-compose_*.deb")
        debian.quietly(["dpkg-deb", "--extract", str(archive), str(tree)])
        shutil.copy(tree / PLUGIN, plugin)
