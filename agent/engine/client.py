"""Docker Engine: who runs, what happens, and readings. The only module that imports docker.

Seven calls are made and no others, so that a socket proxy need not allow more: GET /_ping, /version, /info, /events,
/containers/json, /containers/{id}/json and /containers/{id}/stats. They go through docker-py's session but not through
its methods: those hide the response, so that nobody could end a blocked read, and wait for events without a limit.
"""

import importlib.util
import logging
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import docker
import msgspec
import requests
import urllib3
from docker.errors import DockerException
from docker.tls import TLSConfig

from agent import __version__
from agent.config import EngineSettings
from agent.engine.errors import EngineError, EngineUnreachableError, InvalidResponseError
from agent.engine.http_client import HttpClient
from agent.engine.protocol import (
    NEWEST_API,
    OLDEST_API,
    Event,
    InfoDocument,
    VersionDocument,
    decode,
    is_container_id,
    negotiate_version,
    parse_event,
    split_lines,
)
from agent.engine.transport import TcpAdapter, UnixAdapter
from agent.messages.payloads import EngineCounters, EngineInfo
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.limits import DescriptorBudget

T = TypeVar("T")

ONE_SHOT_API = (1, 41)  # the first API that reads once without waiting for a second reading
REMEMBERED_EVENTS = 256  # events: as many as the engine itself remembers, so that no older one can come again
MAX_IDLE_CONNECTIONS = 32  # kept open between calls

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each that is not kept


class EngineClient:
    """The engine at `settings.url`; nothing is connected before connect(). From any thread.

    All raise EngineError. None waits longer than `settings.timeout` for a connection, for an answer's beginning or
    for its rest, and what takes a Cancel ends when that is set (while an answer has not even begun: after the timeout).
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.local = settings.url.startswith("unix://")
        self._settings = settings
        self._calls = HttpClient(settings.url, settings.timeout)
        self._api = OLDEST_API
        self.descriptors = DescriptorBudget()

    def connect(self) -> EngineInfo:
        """Ask the engine who it is and agree on a version; again whenever it comes back, perhaps as another one."""
        with self._calls.translate_errors(CancelToken()):
            client = self._open()
        self._calls.set_session(client, client.base_url)
        found = self._ask("/version", VersionDocument)
        self._api = negotiate_version(found)
        info: EngineInfo = {"version": found.version, "api": f"{self._api[0]}.{self._api[1]}"}
        # A socket proxy may not allow it, an engine may be stuck in one of its drivers: only a word would be missing.
        with suppress(EngineError):
            if cgroup := self._ask(self._path("/info"), InfoDocument).cgroup:
                info["cgroup"] = cgroup
        return info

    @property
    def supports_one_shot(self) -> bool:
        """Whether the engine that answered connect() can read once without waiting for a second reading."""
        return self._api >= ONE_SHOT_API

    def ping(self) -> None:
        """Return if the engine answers."""
        with self._calls.get("/_ping", CancelToken()) as response:
            self._calls.read_body(response)

    def list_containers(self) -> list[dict[str, Any]]:
        """Return all containers, stopped ones too, as listed: Id, Names, State, Created, Labels, Image.

        A row without a container's id is left out, and the answer that had it counts as an error.
        """
        found = self._ask(self._path("/containers/json?all=1"), list[Any])
        rows = [row for row in found if isinstance(row, dict) and is_container_id(row.get("Id"))]
        if len(rows) < len(found):
            self._calls.count_error()
            if not rows:
                raise InvalidResponseError(f"the engine's list has {len(found)} rows, and none has a container's id")
        return rows

    def inspect(self, container_id: str) -> dict[str, Any]:
        """Return all that the engine knows of a container. Raises NoSuchContainerError."""
        return self._ask(self._path(f"/containers/{quote(container_id, safe='')}/json"), dict[str, Any])

    def events(self, since: int | None, cancel: CancelToken) -> Generator[Event | None, None, None]:
        """Yield what happens to containers, from `since` (ns, that instant included) or from now on, without a gap.

        None comes when the subscription stands, and again after every `settings.timeout` seconds of silence, with a
        fresh subscription: a frozen engine is silent too. Ends only when `cancel` is set; when the engine ends it,
        that is EngineUnreachableError.
        """
        seen: deque[Event] = deque(maxlen=REMEMBERED_EVENTS)
        while not cancel.is_set():
            parameters = {"filters": '{"type":["container"]}'}
            if since is not None:
                parameters["since"] = f"{since // 10**9}.{since % 10**9:09d}"  # as text: a float loses digits
            with suppress(CancelledError), self._calls.get(self._path("/events"), cancel, parameters) as response:
                since = _date(response) if since is None else since
                yield None
                for event in self._until_silent(response):
                    if event not in seen:
                        seen.append(event)
                        since = event.time  # not the latest of all: the engine's clock may have been set back
                        yield event

    def _until_silent(self, response: requests.Response) -> Iterator[Event]:
        try:
            for line in split_lines(self._calls.iter_chunks(response)):
                try:
                    event = parse_event(line)
                except msgspec.ValidationError:  # some later engine's idea of an event; the others are still good
                    self._calls.count_error()
                    continue
                if event:
                    yield event
        except urllib3.exceptions.ReadTimeoutError:
            return
        raise EngineUnreachableError("the engine ended its events")

    def stats_stream(self, container_id: str, cancel: CancelToken) -> Generator[bytes, None, None]:
        """Yield a stats document about every second, as it came; ends with the container, or when `cancel` is set."""
        path = self._path(f"/containers/{quote(container_id, safe='')}/stats?stream=true")
        with suppress(CancelledError), self.descriptors.reserve(), self._calls.get(path, cancel) as response:
            yield from split_lines(self._calls.iter_chunks(response))

    def stats_once(self, container_id: str, cancel: CancelToken) -> bytes:
        """Return one stats document, as it came. Raises CancelledError if `cancel` was set."""
        once = "stream=false&one-shot=true" if self.supports_one_shot else "stream=false"
        path = self._path(f"/containers/{quote(container_id, safe='')}/stats?{once}")
        with self.descriptors.reserve(), self._calls.get(path, cancel) as response:
            return self._calls.read_body(response)

    def counters(self) -> EngineCounters:
        """Return how often the engine was asked, failed, and was asked again after a failure."""
        return self._calls.counters()

    def count_retry(self) -> None:
        """Count that something failed is tried again."""
        self._calls.count_retry()

    def count_error(self) -> None:
        """Count an answer that turned out to be unusable."""
        self._calls.count_error()

    def _path(self, path: str) -> str:
        return f"/v{self._api[0]}.{self._api[1]}{path}"

    def _ask(self, path: str, kind: type[T]) -> T:
        with self._calls.get(path, CancelToken()) as response:
            return decode(self._calls.read_body(response), kind)

    def _open(self) -> docker.APIClient:
        settings = self._settings
        ssh = settings.url.startswith("ssh://")
        if ssh and importlib.util.find_spec("paramiko") is None:
            raise EngineUnreachableError(f"{settings.url} needs an extra: pip install 'usage-agent[ssh]'")
        try:
            # The version only keeps the constructor from asking for one: connect() agrees on it, again and again.
            client = docker.APIClient(settings.url, f"{NEWEST_API[0]}.{NEWEST_API[1]}", tls=self._tls())
        except (DockerException, ValueError) as error:
            raise EngineUnreachableError(f"engine.url {settings.url}: {error}") from error
        client.trust_env = False  # HTTP_PROXY is not meant for an engine
        client.headers.update({"User-Agent": f"usage-agent/{__version__}", "Accept-Encoding": "identity"})
        if ssh:
            # paramiko itself waits an hour for a channel
            client.get_adapter(client.base_url).ssh_client.get_transport().channel_timeout = settings.timeout  # type: ignore[attr-defined]
        elif self.local:
            client.mount(client.base_url, UnixAdapter(settings.url.removeprefix("unix://"), MAX_IDLE_CONNECTIONS))
        else:
            client.mount(client.base_url, TcpAdapter(MAX_IDLE_CONNECTIONS))
        return client

    def _tls(self) -> TLSConfig | bool:
        ca, cert, key = self._settings.tls_ca, self._settings.tls_cert, self._settings.tls_key
        if not (ca or cert or key):
            return False
        pair = (str(cert or ""), str(key or "")) if cert or key else None
        return TLSConfig(pair, str(ca) if ca else None, verify=True)


def _date(response: requests.Response) -> int | None:
    """Return the engine's clock, in ns, to the second below: what happens after it cannot be missed."""
    with suppress(TypeError, ValueError, KeyError, OverflowError):
        return int(parsedate_to_datetime(response.headers["Date"]).timestamp()) * 10**9
    return None
