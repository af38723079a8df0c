"""The calls of an engine client by name, for tests of what they have in common."""

from collections.abc import Callable

import pytest

from agent.engine.client import EngineClient
from agent.runtime.cancel import CancelToken

Call = Callable[[EngineClient], object]

ANY_ROUTE = r"/.*"
CALLS: dict[str, Call] = {
    "inspect": lambda engine: engine.inspect("c0ffee"),
    "list_containers": lambda engine: engine.list_containers(),
    "stats_once": lambda engine: engine.stats_once("c0ffee", CancelToken()),
    "stats_stream": lambda engine: next(engine.stats_stream("c0ffee", CancelToken())),
    "events": lambda engine: next(engine.events(None, CancelToken())),
    "ping": lambda engine: engine.ping(),
    "connect": lambda engine: engine.connect(),
}


def each_call(*names: str) -> pytest.MarkDecorator:
    """Parametrize a test by `call`: by the calls of these names, or by all."""
    chosen = names or tuple(CALLS)
    return pytest.mark.parametrize("call", [CALLS[name] for name in chosen], ids=chosen)
