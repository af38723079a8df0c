"""Makes the source that the configuration names."""

from collections.abc import Callable

from agent.collection.engine_source import PollSource, StreamSource
from agent.collection.fallback import FallbackSource
from agent.collection.kernel_source import KernelSource
from agent.collection.source import Source
from agent.engine.client import EngineClient
from agent.kernel.reader import KernelReader


def create_source(
    name: str, interval: float, engine: EngineClient, on_change: Callable[[], None] = lambda: None
) -> Source:
    """Return the source that the configuration names.

    Args:
        name: auto, kernel, poll or stream.
        interval: seconds between two readings of a container that has no interval of its own.
        engine: the engine of the containers.
        on_change: called when `Source.name` has changed, on the thread that has changed it; only for auto.
    """
    kernel = KernelSource(engine, KernelReader(descriptors=engine.descriptors))
    if name == "auto":
        return FallbackSource(engine, interval, kernel if engine.local else None, on_change)
    if name == "kernel":
        return kernel
    return PollSource(engine) if name == "poll" else StreamSource(engine)
