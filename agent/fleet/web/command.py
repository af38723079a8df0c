"""`usage-agent web`: a page with all containers of all hosts, from the broker alone.

broker ──► Subscriber, a thread of its own ──► Feed ──► application ──► browsers      the event loop, main thread
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from agent.config import Config, ConfigError, read_web_password
from agent.config.urls import parse_listen
from agent.fleet.feed import Feed
from agent.fleet.web.access import Access
from agent.fleet.web.application import create_application
from agent.fleet.web.broadcast import Broadcast
from agent.fleet.web.connections import MAX_CONNECTIONS, Connection
from agent.mqtt.errors import BrokerError
from agent.runtime.cancel import CancelToken
from agent.runtime.systemd import SystemdNotifier
from agent.runtime.text import escape

SHUTDOWN_SECONDS = 2  # for answers that are being sent
LISTEN_FAILED, CONFIGURATION_WRONG, BROKER_FAILED = 1, 2, 4  # exit codes

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """A server that leaves the signals to the command."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def web(config: Config, ending: CancelToken) -> int:
    """Serve the page until `ending` is set.

    If no broker can be used at the start, the command ends. If the broker is lost later, the command connects again,
    and the page shows that there is no connection.

    Returns:
        The exit code: 0, LISTEN_FAILED, CONFIGURATION_WRONG or BROKER_FAILED.
    """
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # anybody could make it log warnings
    host, port = parse_listen(config.web.listen)
    try:
        password = read_web_password(config.web)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return CONFIGURATION_WRONG
    try:
        listening = _bind(host, port)
    except OSError as error:
        print(f"web.listen: {config.web.listen}: {error.strerror or error}", file=sys.stderr)
        return LISTEN_FAILED
    with listening:
        return _serve(config, listening, Access(host, password), ending)


def _serve(config: Config, listening: socket.socket, access: Access, ending: CancelToken) -> int:
    feed = Feed(config.broker, config.topics.base, "web")
    try:
        if not feed.start(ending):
            return 0
    except BrokerError as error:
        print(f"broker: {escape(str(error))}", file=sys.stderr)
        return BROKER_FAILED
    try:
        broadcast = Broadcast(feed, config.topics.base, config.web.history)
        asyncio.run(_run_server(broadcast, listening, access, ending))
    finally:
        feed.stop()
    return 0


async def _run_server(broadcast: Broadcast, listening: socket.socket, access: Access, ending: CancelToken) -> None:
    server = _Server(
        uvicorn.Config(
            create_application(broadcast, access),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        broadcast.close()

    listening.listen()  # now, so that the address works as soon as it is shown
    log.info("the page is at %s", _url(listening))
    SystemdNotifier(os.environ).notify("READY=1", f"STATUS=The page is at {_url(listening)}")
    with ending.interrupting(lambda: loop.call_soon_threadsafe(stop)):
        ticking = asyncio.create_task(broadcast.run())
        ticking.add_done_callback(lambda _: stop())  # without it the page would show what is old
        await server.serve([listening])
    await ticking


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, but not listening yet. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except BaseException:
        listening.close()
        raise
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104  # it is shown, not listened on
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"
