"""One GET to the engine: bounded in time and size, cancellable, and failing with an EngineError only.

get(path, cancel)                    the head of the response, within the timeout
├── status other than 200            EngineRefusedError, NoSuchContainerError
└── iter_chunks() or read_body()     the body; each line, or all of it, within the timeout
    ├── `cancel` is set              CancelledError, at once
    └── anything else goes wrong     EngineUnreachableError, InvalidResponseError
"""

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
from agent.engine.unreachable import unreachable_error
from agent.messages.counters import EngineCounters
from agent.runtime.cancel import CancelledError, CancelToken

CHUNK_BYTES = 1 << 16

_CONNECTION_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, HTTPException, urllib3.exceptions.HTTPError)


class HttpClient:
    """Sends GET requests to the engine and counts them. Thread-safe. Call `set_session` first.

    Args:
        url: the engine's address, for error messages.
        timeout: the longest wait in seconds, for each of three steps: the connection, the head of a response, and its
            body; in a stream for each line of the body.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._engine_name = f"the engine at {url}"
        self._timeout = timeout
        self._ssh = url.startswith("ssh://")
        paramiko = sys.modules.get("paramiko")  # docker has imported it if it is installed
        self._connection_errors = (*_CONNECTION_ERRORS, paramiko.SSHException) if paramiko else _CONNECTION_ERRORS
        # Both are written by the one thread that connects; a request that is under way keeps the old session.
        self._session: requests.Session | None = None
        self._base_url = ""
        self._lock = threading.Lock()  # guards `_counters`; nothing else is done under it
        self._counters: EngineCounters = {"requests": 0, "errors": 0, "retries": 0}

    def set_session(self, session: requests.Session, base_url: str) -> None:
        """Send requests to `base_url` through `session` from now on; close idle connections of the session before."""
        before, self._session, self._base_url = self._session, session, base_url
        if before:
            before.close()

    def counters(self) -> EngineCounters:
        """Return the numbers of requests, of errors, and of retries after an error."""
        with self._lock:
            return self._counters.copy()

    def count_retry(self) -> None:
        """Count a retry after an error."""
        with self._lock:
            self._counters["retries"] += 1

    def count_error(self) -> None:
        """Count an error, or a response that turned out to be unusable."""
        with self._lock:
            self._counters["errors"] += 1

    @contextmanager
    def get(
        self, path: str, cancel: CancelToken, parameters: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Request `path`, with a query if there are `parameters`. The block is given the response, and reads its body.

        Setting `cancel` ends the reading at once; while the engine has sent no head, the request ends after the
        timeout.

        Raises:
            EngineRefusedError, NoSuchContainerError: the status is not 200.
            EngineUnreachableError: there is no connection, or no answer within the timeout.
            InvalidResponseError: the answer is not HTTP.
            CancelledError: `cancel` is set.
        """
        with self.translate_errors(cancel):
            if cancel.is_set():
                raise CancelledError
            with self._lock:
                self._counters["requests"] += 1
            if self._session is None:
                raise EngineUnreachableError(f"{self._engine_name} was not connected to yet")
            timeouts = (self._timeout, self._timeout)
            try:
                response = self._session.get(
                    self._base_url + path, params=parameters, stream=True, timeout=timeouts, allow_redirects=False
                )
            except AttributeError as error:  # docker-py's ssh connection dropped its socket while urllib3 used it
                raise EngineUnreachableError(f"{self._engine_name}: the connection was lost") from error
            with closing(response), cancel.interrupting(lambda: self._interrupt(response)):
                if response.status_code != 200:
                    raise error_from_response(path, response.status_code, response.reason, self._read_all(response))
                yield response

    @contextmanager
    def translate_errors(self, cancel: CancelToken) -> Iterator[None]:
        """Turn every error of the connection into an EngineError, and count it.

        Raises:
            EngineError: the block failed.
            CancelledError: `cancel` is set, however the block ended.
        """
        failure: EngineError | None = None
        cause: BaseException | None = None
        try:
            yield
        except EngineError as error:
            failure, cause = error, error.__cause__
        except self._connection_errors as error:
            failure, cause = unreachable_error(self._url, self._timeout, error), error
        if cancel.is_set():  # then a broken connection is no error, and an interrupted read can look like the end
            raise CancelledError from cause
        if failure:
            self.count_error()
            raise failure from cause

    def _interrupt(self, response: requests.Response) -> None:
        # Fails if the response was read to its end or the connection broke in the meantime: nothing is left to do then.
        with suppress(OSError, ValueError, RuntimeError):
            if self._ssh:
                response.raw.close()  # a channel of paramiko wakes its reader when it is closed, not when shut down
            else:
                response.raw.shutdown()

    def iter_chunks(self, response: requests.Response, *, whole: bool = False) -> Iterator[bytes]:
        """Yield the body as it arrives, within the timeout.

        Args:
            response: the response.
            whole: whether the timeout is for the whole body. Else it is for each line, from the line's first byte to
                its newline. A blank line does not restart the time, so a body of nothing but newlines runs
                into the timeout, too.

        Raises:
            EngineUnreachableError: the body, or a line of it, took longer than the timeout.
            InvalidResponseError: the chunked encoding is invalid.
        """
        deadline: float | None = None  # of the whole body, or of the line that has begun
        line_begun = False  # with more than blanks
        for chunk in self._raw_chunks(response):
            now = time.monotonic()
            before, newline, line = chunk.rpartition(b"\n")
            line_ended = bool(newline) and (line_begun or bool(before.strip()))
            if line_ended and not whole:
                deadline, line_begun = None, False
            elif deadline is not None and now > deadline:
                raise EngineUnreachableError(f"{self._engine_name} did not end its answer within {self._timeout:g} s")
            line_begun = line_begun or bool(line.strip())
            # The timeout runs from a line's first byte on, or from the first blank line if nothing else has come.
            if deadline is None and (line or whole or not line_ended):
                deadline = now + self._timeout
            yield chunk

    def _raw_chunks(self, response: requests.Response) -> Iterator[bytes]:
        # Files of paramiko have no read1(); over ssh a chunk is read as the engine wrote it, which is one document.
        chunks = response.raw.stream(CHUNK_BYTES) if self._ssh else iter(lambda: response.raw.read1(CHUNK_BYTES), b"")
        try:
            yield from chunks
        except OverflowError as error:  # http.client accepts any size of a chunk, even a negative one
            raise InvalidResponseError(f"{self._engine_name} sent a chunk of an impossible size") from error
        except AttributeError as error:  # over ssh, _interrupt() has closed the file that http.client is reading
            raise EngineUnreachableError(f"{self._engine_name}: the connection was lost") from error

    def read_body(self, response: requests.Response) -> bytes:
        """Return the whole body.

        Raises:
            EngineUnreachableError: the body is blank, or took longer than the timeout.
            InvalidResponseError: the body has more than MAX_ANSWER_BYTES.
        """
        body = self._read_all(response)
        if not body.strip():  # an engine that is shutting down may send status 200 and nothing else
            raise EngineUnreachableError(f"{self._engine_name} answered nothing")
        return body

    def _read_all(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in self.iter_chunks(response, whole=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise InvalidResponseError(f"the engine's answer has more than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)
