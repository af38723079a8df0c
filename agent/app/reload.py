"""Reading the configuration anew while the agent runs: SIGHUP, or `systemctl reload`.

    load ──► compare ──► what can take effect: its step in STEPS ──► the part that it concerns
                └──────► what cannot: named in the log

All of it runs on the main thread, between two rounds of the `Monitor`. No step starts a new connection, resets a
sequence number, or publishes a status that is not true.
"""

import logging
from collections.abc import Callable, Collection, Mapping

import msgspec

from agent.app.parts import Parts
from agent.collection.fallback import FallbackSource
from agent.config import Config, ConfigError
from agent.config.fields import KEYS
from agent.containers.filter import ContainerFilter
from agent.mqtt.publisher import Publisher
from agent.runtime.limits import ThreadLimitError
from agent.runtime.logs import configure_logging

log = logging.getLogger(__name__)


def _set_interval(parts: Parts, config: Config) -> None:
    interval = config.agent.interval
    if isinstance(parts.collection.source, FallbackSource):
        parts.collection.source.set_interval(interval)
    parts.status.set_interval(interval)
    parts.discovery.set_interval(interval)
    with parts.registry.lock:  # a collector that starts meanwhile has the new interval, or is told of it
        parts.collection.interval = interval
        for collector in parts.supervisor.collectors:
            collector.update_interval()


def _set_logging(parts: Parts, config: Config) -> None:  # noqa: ARG001  # a step like the others
    configure_logging(config.agent.log_level, config.agent.log_format)


def _set_selection(parts: Parts, config: Config) -> None:
    parts.registry.select(ContainerFilter(config.engine.include, config.engine.exclude))
    try:
        for tracked in parts.registry.list():
            parts.supervisor.request_inspect(tracked.id)
    except ThreadLimitError as error:
        log.warning("%s; engine.include and engine.exclude take effect later", error)


def _set_backoff(parts: Parts, config: Config) -> None:
    parts.backoff.change(config.backoff.base, config.backoff.factor, config.backoff.cap)
    # A wait that has begun may be far longer than the new cap.
    if isinstance(parts.publisher, Publisher):
        parts.publisher.retry_now()
    for collector in parts.supervisor.collectors:
        collector.retry_if_failed_with(Exception)  # with any error


def _set_retention(parts: Parts, config: Config) -> None:
    parts.retention.set_after(config.topics.forget_removed)


def _set_outbox(parts: Parts, config: Config) -> None:
    parts.outbox.set_limits(config.outbox.capacity, config.outbox.on_full)


def _set_home_assistant(parts: Parts, config: Config) -> None:
    settings = config.home_assistant
    parts.status.set_home_assistant(settings)
    parts.discovery.configure(settings)
    if isinstance(parts.publisher, Publisher):
        parts.publisher.read_retained()
    else:
        parts.add_retained({})  # there is no broker that could have retained any


Step = Callable[[Parts, Config], None]

STEPS: Mapping[str, Step] = {
    "agent.interval": _set_interval,
    "agent.log_level": _set_logging,
    "agent.log_format": _set_logging,
    "engine.include": _set_selection,
    "engine.exclude": _set_selection,
    "backoff.base": _set_backoff,
    "backoff.factor": _set_backoff,
    "backoff.cap": _set_backoff,
    "topics.forget_removed": _set_retention,
    "outbox.capacity": _set_outbox,
    "outbox.on_full": _set_outbox,
    "home_assistant.enabled": _set_home_assistant,
    "home_assistant.prefix": _set_home_assistant,
}
"""The keys that can take effect while the agent runs, each with its step. All other keys need a restart."""


def changed_keys(running: Config, found: Config) -> list[str]:
    """Return the paths of the agent's keys whose values differ, in the order of the configuration.

    The keys of the web page are not the agent's: another process serves it.
    """
    return [path for path, key in KEYS.items() if key.table != "web" and _value(running, path) != _value(found, path)]


def merge(running: Config, found: Config, paths: Collection[str]) -> Config:
    """Return the running configuration, in which the keys in `paths` have their values from `found`."""
    tables = {}
    for table in {KEYS[path].table for path in paths}:
        names = [KEYS[path].name for path in paths if KEYS[path].table == table]
        values = {name: getattr(getattr(found, table), name) for name in names}
        tables[table] = msgspec.structs.replace(getattr(running, table), **values)
    return msgspec.structs.replace(running, **tables)


def _value(config: Config, path: str) -> object:
    if path == "broker.url":
        return config.broker.addresses  # the text of the key lacks the credentials
    return getattr(getattr(config, KEYS[path].table), KEYS[path].name)


class Reloader:
    """Reads the configuration anew, and lets take effect what can. For the main thread.

    Args:
        config: what the agent was started with.
        load: reads the same file and environment again. Raises ConfigError.
        parts: of the running agent.

    Attributes:
        config: what is in effect.
    """

    def __init__(self, config: Config, load: Callable[[], Config], parts: Parts) -> None:
        self.config = config
        self._load = load
        self._parts = parts

    def reload(self) -> None:
        """Read the configuration. Log what took effect, what needs a restart, or why nothing has changed."""
        try:
            found = self._load()
        except ConfigError as error:
            log.error("the configuration has mistakes, so nothing is changed:")  # noqa: TRY400  # no traceback
            for line in str(error).splitlines():
                log.error("%s", line)  # noqa: TRY400
            return
        changed = changed_keys(self.config, found)
        effective = [path for path in changed if path in STEPS]
        restart = [path for path in changed if path not in STEPS]
        self.config = merge(self.config, found, effective)
        was_shown = log.isEnabledFor(logging.INFO)
        if was_shown:  # else it is logged below, when a new `agent.log_level` has taken effect
            _log_effective(effective, restart)
        for step in dict.fromkeys(STEPS[path] for path in effective):
            step(self._parts, self.config)
        if not was_shown:
            _log_effective(effective, restart)
        if restart:
            log.warning("%s %s a restart", ", ".join(restart), "needs" if len(restart) == 1 else "need")


def _log_effective(effective: list[str], restart: list[str]) -> None:
    if effective:
        log.info("%s %s effect", ", ".join(effective), "takes" if len(effective) == 1 else "take")
    elif not restart:
        log.info("nothing has changed")
