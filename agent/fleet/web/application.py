"""What is served under which path.

/                    the page, and its files beside it
/events              the stream that the page listens to
/api/containers      the state as JSON
/api/history         the series of one container's graphs, for the page
/healthz             whether there is a connection to the broker
"""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from agent.fleet.web.access import HEALTH_PATH, Access
from agent.fleet.web.broadcast import MAX_VIEWERS, Broadcast
from agent.fleet.web.guard import Guard
from agent.fleet.web.page_files import PageFile, read_page

_JSON = "application/json"
_RETRY = {"Retry-After": "10"}

Endpoint = Callable[[Request], Awaitable[Response]]


def create_application(broadcast: Broadcast, access: Access) -> ASGIApp:
    """Return the whole application, behind its guard."""
    routes = [Route(path, _file(file)) for path, file in read_page().items()]
    routes += [
        Route("/events", _events(broadcast)),
        Route("/api/containers", _containers(broadcast)),
        Route("/api/history", _history(broadcast)),
        Route(HEALTH_PATH, _health(broadcast)),
    ]
    return Guard(Starlette(routes=routes), access)


def _file(file: PageFile) -> Endpoint:
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}  # asked for each time: an update must not be half old

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)

    return answer


def _events(broadcast: Broadcast) -> Endpoint:
    async def answer(request: Request) -> Response:
        if broadcast.viewers >= MAX_VIEWERS:
            return PlainTextResponse(f"There are {MAX_VIEWERS} viewers already.\n", 503, _RETRY)
        headers = {"X-Accel-Buffering": "no"}  # nginx would collect what is sent
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        return StreamingResponse(broadcast.stream(), headers=headers, media_type="text/event-stream")

    return answer


def _containers(broadcast: Broadcast) -> Endpoint:
    async def answer(request: Request) -> Response:  # noqa: ARG001  # an endpoint
        return Response(broadcast.containers(), media_type=_JSON)

    return answer


def _history(broadcast: Broadcast) -> Endpoint:
    async def answer(request: Request) -> Response:
        query = request.query_params
        found = broadcast.history(query.get("host", ""), query.get("container", ""))
        if found is None:
            return PlainTextResponse("There is no such container.\n", 404)
        return Response(found, media_type=_JSON)

    return answer


def _health(broadcast: Broadcast) -> Endpoint:
    async def answer(request: Request) -> Response:  # noqa: ARG001  # an endpoint
        if broadcast.connected:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("no connection to the broker\n", 503)  # and no more: this path needs no password

    return answer
