"""The fake engine of the tests for thousands of containers: one thread, with documents rendered beforehand.

    python -m benchmarks.fast_engine SOCKET CONTAINERS

It is a separate process, so that its CPU time does not count as the agent's. Like a real engine it reads one container
after the other: the documents are spread over the second, and each has the time at which it was due.
"""

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from support.fakes.engine import FakeEngine
from support.fakes.http import Request, parse

from benchmarks.documents import Template

NS_PER_SECOND = 1_000_000_000
HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class FastEngine:
    """Serves the answers of a FakeEngine, except for the stats documents, which are its own."""

    def __init__(self, socket: Path, containers: int) -> None:
        self._socket = socket
        self._fake = FakeEngine(socket, containers)
        self._ids = list(self._fake.containers)
        self._templates = {key: Template(container) for key, container in self._fake.containers.items()}
        self._streams: dict[str, set[asyncio.StreamWriter]] = {key: set() for key in self._ids}

    async def serve(self, ended: asyncio.Event) -> None:
        """Serve until `ended` is set."""
        server = await asyncio.start_unix_server(self._connected, self._socket, backlog=4096)
        ticking = asyncio.create_task(self._tick())
        async with server:
            await ended.wait()
        ticking.cancel()

    async def _tick(self) -> None:
        """Send each container's document to the clients that stream it, once a second, when it is due."""
        begin = time.time_ns()
        number = 0
        while True:
            second, index = divmod(number, len(self._ids))
            due = begin + second * NS_PER_SECOND + index * NS_PER_SECOND // len(self._ids)
            # Sleep even when late, so that other tasks can run: a client that has just connected waits for an answer.
            await asyncio.sleep(max(0, due - time.time_ns()) / NS_PER_SECOND)
            key = self._ids[index]
            if writers := self._streams[key]:
                document = self._templates[key].at(due)
                for writer in writers:
                    writer.write(b"%x\r\n%b\r\n" % (len(document), document))
            number += 1

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                request = parse(method, target)
                if not self._answer(request, writer):
                    await reader.read()  # an endless answer ends when the client disconnects
                    break
        for streams in self._streams.values() if writer.is_closing() else ():
            streams.discard(writer)
        writer.close()

    def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer a request. Return False if the answer continues for as long as the client is connected."""
        if request.route == "/events":
            writer.write(CHUNKED)
            return False
        if request.route == "/containers/{id}/stats":
            if request.flag("stream", default=True):
                writer.write(CHUNKED)
                self._streams[request.id].add(writer)
                return False
            body = self._templates[request.id].at(time.time_ns())
        else:
            body = self._fake.respond(request).body
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return True


async def main(socket: Path, containers: int) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await FastEngine(socket, containers).serve(ended)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
