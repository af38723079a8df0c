"""The calls to the Docker Engine.

There are seven, all of them GET, and a socket proxy need not allow more:

    connect()             /version, /info                 ping()           /_ping
    list_containers()     /containers/json?all=1          inspect()        /containers/{id}/json
    events()              /events                         stats_stream()   /containers/{id}/stats?stream=true
                                                          stats_once()     /containers/{id}/stats?stream=false

See https://docs.docker.com/reference/api/engine/. The calls use a session (session.py), but not docker-py's methods:
these wait for events without a timeout, and hide the response, which another thread needs to end a blocked read.
"""

import logging
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import orjson
import requests
import urllib3

from agent.config import EngineSettings
from agent.engine.errors import EngineError, EngineUnreachableError, InvalidResponseError
from agent.engine.http_client import HttpClient
from agent.engine.listing import decode_rows, trim_row
from agent.engine.protocol import (
    OLDEST_API,
    Event,
    InfoDocument,
    VersionDocument,
    decode,
    negotiate_version,
    parse_event,
    split_lines,
)
from agent.engine.session import new_session
from agent.messages.counters import EngineCounters
from agent.messages.payloads import EngineInfo
from agent.runtime.cancel import CancelledError, CancelToken
from agent.runtime.limits import DescriptorBudget

T = TypeVar("T")

ONE_SHOT_API = (1, 41)  # the first version with one-shot=true: no waiting for a second sample
RECENT_EVENTS = 256  # events that an engine keeps for `since`, and so the most that it can send a second time

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each connection that it cannot keep


class EngineClient:
    """The engine at `settings.url`. Thread-safe; nothing is connected before connect().

    Every method that sends a request raises EngineError if the request fails. Each of three steps takes at most
    `settings.timeout`: the connection, the head of the response, and its body (of a stream: each line). `cancel.set()`
    ends a method at once while the body is read. A method that still waits for the head ends when the head has come, or
    at the timeout.

    Attributes:
        local: whether the engine surely runs on this machine: it has a unix socket.
        descriptors: the file descriptors that readings may use, for calls to the engine and for the kernel's files.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.local = settings.url.startswith("unix://")
        self._settings = settings
        self._http = HttpClient(settings.url, settings.timeout)
        self._api = OLDEST_API  # written by the one thread that connects
        self.descriptors = DescriptorBudget()

    def connect(self) -> EngineInfo:
        """Make a new session and negotiate the API version.

        Call this again when a lost engine is back: it may have another version.
        """
        with self._http.translate_errors(CancelToken()):
            session, base_url = new_session(self._settings)
        self._http.set_session(session, base_url)
        found = self._get_document("/version", VersionDocument)
        self._api = negotiate_version(found)
        info: EngineInfo = {"version": found.version, "api": f"{self._api[0]}.{self._api[1]}"}
        # A socket proxy may not allow /info, and an engine may hang in one of its drivers. Only one field is lost then.
        with suppress(EngineError):
            if cgroup := self._get_document(self._path("/info"), InfoDocument).cgroup:
                info["cgroup"] = cgroup
        return info

    @property
    def supports_one_shot(self) -> bool:
        """Whether the engine can take one sample without waiting for a second."""
        return self._api >= ONE_SHOT_API

    def ping(self) -> None:
        """Return if the engine answers. Raises EngineError if not."""
        with self._http.get("/_ping", CancelToken()) as response:
            self._http.read_body(response)

    def list_containers(self, container_id: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of all containers, stopped ones included: Id, Names, State, Created, Image.

        With `container_id` (default None: all) the engine is asked for this container's row only. This row, and the
        rows of containers that run, have Labels, too. If a row has no container's id, it is left out, and the response
        counts as one error.

        Raises:
            InvalidResponseError: no row has an id, or the list is too large.
        """
        filters = f"&filters={quote(orjson.dumps({'id': [container_id]}))}" if container_id else ""
        rows, received = [], 0
        with self._http.get(self._path(f"/containers/json?all=1{filters}"), CancelToken()) as response:
            for found in decode_rows(self._http.iter_chunks(response, whole=True)):
                received += 1
                if row := trim_row(found, with_labels=container_id is not None):
                    rows.append(row)
        if len(rows) < received:
            self._http.count_error()
            if not rows:
                raise InvalidResponseError(f"the engine's list has {received} rows, and none has a container's id")
        return rows

    def inspect(self, container_id: str) -> dict[str, Any]:
        """Return the inspect document of a container, by id or name. Raises NoSuchContainerError."""
        return self._get_document(self._path(f"/containers/{quote(container_id, safe='')}/json"), dict[str, Any])

    def events(self, since: int | None, cancel: CancelToken) -> Generator[Event | None, None, None]:
        """Yield the events of containers without a gap, each once, until `cancel` is set.

        Yields None when subscribed. After each `settings.timeout` seconds without an event it subscribes anew and
        yields None again, since a frozen engine is silent, too.

        Args:
            since: yield events from this instant on, itself included, ns by the engine's clock; None for now.
            cancel: ends the events.

        Raises:
            EngineUnreachableError: the engine ended the events, or did not accept the next subscription in time.
            InvalidResponseError: the engine sent a line that is no JSON. What it meant is lost, so list anew.
        """
        seen: deque[Event] = deque(maxlen=RECENT_EVENTS)
        while not cancel.is_set():
            parameters = {"filters": '{"type":["container"]}'}
            if since is not None:
                parameters["since"] = f"{since // 10**9}.{since % 10**9:09d}"  # text, as a float loses digits
            with suppress(CancelledError), self._http.get(self._path("/events"), cancel, parameters) as response:
                since = _date_ns(response) if since is None else since
                yield None
                for event in self._events_until_silence(response):
                    if event not in seen:
                        seen.append(event)
                        since = event.time  # even if it is earlier than before: the engine's clock may be set back
                        yield event

    def _events_until_silence(self, response: requests.Response) -> Iterator[Event]:
        try:
            for line in split_lines(self._http.iter_chunks(response)):
                try:
                    event = parse_event(line)
                except msgspec.ValidationError:  # an event of a later API version; the others are still good
                    self._http.count_error()
                    continue
                if event:
                    yield event
        except urllib3.exceptions.ReadTimeoutError:
            return
        raise EngineUnreachableError("the engine ended its events")

    def stats_stream(self, container_id: str, cancel: CancelToken) -> Generator[bytes, None, None]:
        """Yield a stats document about every second, not parsed, until `cancel` is set or the container is removed.

        The stream of a container that stops goes on, with documents of zeros.

        Raises:
            NoSuchContainerError: the engine does not know the container.
            DescriptorLimitError: there are too few file descriptors for another stream.
        """
        path = self._path(f"/containers/{quote(container_id, safe='')}/stats?stream=true")
        with suppress(CancelledError), self.descriptors.reserve(), self._http.get(path, cancel) as response:
            yield from split_lines(self._http.iter_chunks(response))

    def stats_once(self, container_id: str, cancel: CancelToken) -> bytes:
        """Return one stats document, not parsed.

        Engines before version 25 answer at their next collection, up to a second later; without one-shot (API before
        1.41) up to two.

        Raises:
            CancelledError: `cancel` was set.
            NoSuchContainerError: the engine does not know the container.
            DescriptorLimitError: there are too few file descriptors for another call.
        """
        once = "stream=false&one-shot=true" if self.supports_one_shot else "stream=false"
        path = self._path(f"/containers/{quote(container_id, safe='')}/stats?{once}")
        with self.descriptors.reserve(), self._http.get(path, cancel) as response:
            return self._http.read_body(response)

    def counters(self) -> EngineCounters:
        """Return the numbers of requests, of errors, and of retries after an error."""
        return self._http.counters()

    def count_retry(self) -> None:
        """Count a retry after an error."""
        self._http.count_retry()

    def count_error(self) -> None:
        """Count a response that turned out to be unusable."""
        self._http.count_error()

    def _path(self, path: str) -> str:
        return f"/v{self._api[0]}.{self._api[1]}{path}"

    def _get_document(self, path: str, kind: type[T]) -> T:
        with self._http.get(path, CancelToken()) as response:
            return decode(self._http.read_body(response), kind)


def _date_ns(response: requests.Response) -> int | None:
    """Return the engine's clock from the Date header, ns since the epoch, rounded down to the second; None without it.

    It is rounded down, so that no later event is missed.
    """
    with suppress(TypeError, ValueError, KeyError, OverflowError):
        return int(parsedate_to_datetime(response.headers["Date"]).timestamp()) * 10**9
    return None
