"""One call to the engine: a GET that is bounded in time and size, can be ended, and fails as an EngineError only."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException

import requests
import urllib3

from agent.engine.errors import EngineError, EngineUnreachableError, InvalidResponseError
from agent.engine.protocol import MAX_ANSWER_BYTES, error_from_response
from agent.messages.payloads import EngineCounters
from agent.runtime.cancel import CancelledError, CancelToken

CHUNK_BYTES = 1 << 16

_FAILURES: tuple[type[Exception], ...] = (OSError, EOFError, HTTPException, urllib3.exceptions.HTTPError)
_TIMEOUTS = (TimeoutError, requests.Timeout, urllib3.exceptions.ReadTimeoutError)
_REMEDIES = (
    (FileNotFoundError, ": is the engine running there?"),
    (ConnectionRefusedError, ": is the engine running there?"),
    (PermissionError, ": root may open it, and the group docker"),
    (requests.exceptions.SSLError, ": do engine.tls_ca, tls_cert and tls_key fit it?"),
)


class HttpClient:
    """Makes the calls, through the session it was told to use, and counts them; from any thread.

    Nothing waits longer than `timeout` seconds for a connection, for an answer's beginning or for its rest.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._engine = f"the engine at {url}"
        self._timeout = timeout
        self._ssh = url.startswith("ssh://")
        paramiko = sys.modules.get("paramiko")  # docker has imported it, where it is installed
        self._failures = (*_FAILURES, paramiko.SSHException) if paramiko else _FAILURES
        self._session: requests.Session | None = None
        self._base = ""
        self._lock = threading.Lock()
        self._counters: EngineCounters = {"requests": 0, "errors": 0, "retries": 0}

    def set_session(self, session: requests.Session, base: str) -> None:
        """Make calls to `base` through this session from now on, and close the idle connections of the one before."""
        before, self._session, self._base = self._session, session, base
        if before:
            before.close()

    def counters(self) -> EngineCounters:
        """Return how often the engine was asked, failed, and was asked again after a failure."""
        with self._lock:
            return self._counters.copy()

    def count_retry(self) -> None:
        """Count that something failed is tried again."""
        with self._lock:
            self._counters["retries"] += 1

    def count_error(self) -> None:
        """Count an answer that turned out to be unusable."""
        with self._lock:
            self._counters["errors"] += 1

    @contextmanager
    def get(
        self, path: str, cancel: CancelToken, parameters: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Ask for `path`; the one way to the engine. Raises as `translated` does, EngineRefusedError included.

        The block reads the body, and `cancel` ends that at once. An engine that does not even begin to answer is left
        after the timeout only.
        """
        with self.translate_errors(cancel):
            if cancel.is_set():
                raise CancelledError
            with self._lock:
                self._counters["requests"] += 1
            if self._session is None:
                raise EngineUnreachableError(f"{self._engine} was not connected to yet")
            limits = (self._timeout, self._timeout)
            try:
                response = self._session.get(
                    self._base + path, params=parameters, stream=True, timeout=limits, allow_redirects=False
                )
            except AttributeError as error:  # docker-py's ssh connection has dropped its socket while urllib3 used it
                raise EngineUnreachableError(f"{self._engine}: the connection was lost") from error
            with closing(response), cancel.interrupting(lambda: self._interrupt(response)):
                if response.status_code != 200:
                    raise error_from_response(path, response.status_code, response.reason, self._whole(response))
                yield response

    @contextmanager
    def translate_errors(self, cancel: CancelToken) -> Iterator[None]:
        """Turn every way of failing into an EngineError, and count it; into CancelledError once `cancel` is set."""
        failure: EngineError | None = None
        cause: BaseException | None = None
        try:
            yield
        except EngineError as error:
            failure, cause = error, error.__cause__
        except self._failures as error:
            failure, cause = self._failure(error), error
        if cancel.is_set():  # then an end is no failure, and a clean end may be a torn one
            raise CancelledError from cause
        if failure:
            self.count_error()
            raise failure from cause

    def _failure(self, error: Exception) -> EngineUnreachableError:
        if isinstance(error, _TIMEOUTS):
            return EngineUnreachableError(f"{self._engine} did not answer within {self._timeout:g} s")
        root = _root(error)
        remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind) or isinstance(root, kind)), "")
        return EngineUnreachableError(f"{self._engine} cannot be reached: {root or type(root).__name__}{remedy}")

    def _interrupt(self, response: requests.Response) -> None:
        # An answer that has been read to its end or broken off meanwhile cannot be ended: then nothing is left to do.
        with suppress(OSError, ValueError, RuntimeError):
            if self._ssh:
                response.raw.close()  # a channel of paramiko wakes its reader when it is closed, not when shut down
            else:
                response.raw.shutdown()

    def iter_chunks(self, response: requests.Response, *, whole: bool = False) -> Iterator[bytes]:
        """Yield the body as it comes. Each line of it, or if `whole` all of it, must come within the timeout.

        A blank line is none, so that an answer of nothing but newlines is no silence either, which ends by itself.
        """
        deadline = None
        begun = False
        for chunk in self._pieces(response):
            now = time.monotonic()
            before, newline, rest = chunk.rpartition(b"\n")
            ended = bool(newline) and (begun or bool(before.strip())) and not whole
            if ended:
                deadline, begun = None, False
            elif deadline is not None and now > deadline:
                raise EngineUnreachableError(f"{self._engine} did not end its answer within {self._timeout:g} s")
            begun = begun or bool(rest.strip())
            if deadline is None and (rest or not ended):
                deadline = now + self._timeout
            yield chunk

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        # paramiko's files have no read1(): there a chunk as the engine wrote it is read, which is a document.
        pieces = response.raw.stream(CHUNK_BYTES) if self._ssh else iter(lambda: response.raw.read1(CHUNK_BYTES), b"")
        try:
            yield from pieces
        except OverflowError as error:  # http.client believes any size of a chunk, even one below zero
            raise InvalidResponseError(f"{self._engine} sent a chunk of an impossible size") from error

    def read_body(self, response: requests.Response) -> bytes:
        """Return the whole body, which is not empty."""
        body = self._whole(response)
        if not body.strip():  # an engine that is shutting down may say 200, and nothing else
            raise EngineUnreachableError(f"{self._engine} answered nothing")
        return body

    def _whole(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in self.iter_chunks(response, whole=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise InvalidResponseError(f"the engine's answer has more than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)


def _root(error: BaseException) -> BaseException:
    """Return the error below the wrappings of urllib3 and requests: its text is meant for people."""
    for _ in range(8):
        inner = (*error.args, getattr(error, "reason", None), error.__cause__)
        below = next((one for one in inner if isinstance(one, BaseException)), None)
        if below is None:
            break
        error = below
    return error
