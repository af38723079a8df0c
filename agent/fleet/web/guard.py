"""Stands before the application: refuses what `Access` refuses, and adds the headers that every answer has."""

import asyncio
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.fleet.web.access import Access

WRONG_PASSWORD_SECONDS = 1.0  # until the answer, so that few can be tried

HEADERS = {
    # Nothing but the server's own files is loaded or run, and no other page may frame this one.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._access.refusal(scope["method"], scope["path"], _single(Headers(scope=scope).items()))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
            return
        if refusal.is_wrong_password:
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
        response = PlainTextResponse(f"{refusal.text}\n", refusal.status, dict(refusal.headers))
        await response(scope, receive, send_with_headers)


def _single(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name. A header that was sent twice is empty, because neither value can be trusted."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = "" if name in found else value
    return found
