"""The commands and their exit codes: 0 success, 2 configuration, 1 anything else; `check` also 3 engine, 4 broker.

`forget` and `migrate-discovery` return 4 if the broker cannot be used. They also return 2 if they must do nothing:
`forget` for the host of a running agent, `migrate-discovery` while `home_assistant.enabled` is false.

Each command imports what it needs when it runs. A container's health check runs `health` every half minute, for months:
it must not load the client libraries of engine and broker each time.
"""

import argparse
import errno
import gc
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import orjson

from agent.arguments import FOR_SERVICE, parser
from agent.config import DEFAULT_PATHS, Config, ConfigError, find, load
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import read_health
from agent.runtime.logs import configure_logging
from agent.runtime.signals import ReloadRequest, agent_signals, ending_signals
from agent.runtime.streams import discard, open_standard_streams
from agent.runtime.text import escape

# How long a thread may keep the interpreter while others wait for it. With Python's default of 5 ms each waiting thread
# wakes 200 times a second to ask for it; with thousands of streams a busy agent came to do nothing else.
SWITCH_INTERVAL_SECONDS = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. By default (None) the arguments are those of the process."""
    open_standard_streams()
    options = parser().parse_args(arguments)
    ending = CancelToken()
    reload = ReloadRequest(ending)
    try:
        # Signals are handled from here on, because importing what the agent needs takes half a second.
        with _signals(options.command, ending, reload):
            code = _run_command(options, ending, reload)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has ended
        discard(sys.stdout)
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"standard output cannot be written: {error.strerror}", file=sys.stderr)
        discard(sys.stdout)
        return 1
    finally:
        _flush_log()
    return code


def _signals(command: str, ending: CancelToken, reload: ReloadRequest) -> AbstractContextManager[None]:
    match command:
        case "run":
            return agent_signals(ending, reload)
        case "watch" | "web":
            return ending_signals(ending)
        case _:
            return nullcontext()


def _flush_log() -> None:
    try:
        sys.stderr.flush()
    except OSError:  # the disk is full
        discard(sys.stderr)


def _run_command(options: argparse.Namespace, ending: CancelToken, reload: ReloadRequest) -> int:
    if options.command == "schema":
        return _schema()
    if options.command == "health":
        return _health()
    if options.command == "install-service":
        return _install_service(options)
    for_service = options.command in FOR_SERVICE
    environment = _environment(options)
    # The file is looked for only now. If it vanishes later, a reload reports that, and does not use the defaults.
    load_config = partial(load, options.config or find(DEFAULT_PATHS), environment, needs_credential=not for_service)
    try:
        config = load_config()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    match options.command:
        case "check":
            return _check(config, options.config)
        case "web":
            return _web(config, ending)
        case "forget":
            return _forget(config, options)
        case "migrate-discovery":
            return _migrate(config, options)
        case "watch":
            return _watch(config, options, ending)
        case _:
            return _run(config, load_config, options, ending, reload)


def _environment(options: argparse.Namespace) -> Mapping[str, str]:
    """Return the environment; arguments of the command replace its variables."""
    replaced = {
        "USAGE_AGENT_BROKER__PASSWORD_FILE": getattr(options, "password_file", None),
        "USAGE_AGENT_TOPICS__BASE": getattr(options, "topic_base", None),
    }
    return {**os.environ, **{name: value for name, value in replaced.items() if value}}


def _schema() -> int:
    from agent.messages.payloads import schema

    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())
    return 0


def _install_service(options: argparse.Namespace) -> int:
    from agent.app.install_service import install_service

    return install_service(
        user=options.user,
        uninstall=options.uninstall,
        purge=options.purge,
        dry_run=options.dry_run,
        environment=os.environ,
    )


def _check(config: Config, named: Path | None) -> int:
    from agent.engine.charset import skip_charset_detection

    skip_charset_detection()  # before the next import
    from agent.app.check import check

    path = named or find(DEFAULT_PATHS)
    # os.path and not Path, whose methods raise PermissionError where this user may not look.
    read = path and os.path.realpath(path)
    others = [other for other in DEFAULT_PATHS if os.path.isfile(other) and os.path.realpath(other) != read]  # noqa: PTH113
    others = [] if named else others
    return check(config, path, others)


def _run(
    config: Config,
    load_config: Callable[[], Config],
    options: argparse.Namespace,
    ending: CancelToken,
    reload: ReloadRequest,
) -> int:
    gc.disable()  # looking for garbage while modules are imported takes a twentieth of the start's CPU time
    from agent.engine.charset import skip_charset_detection
    from agent.runtime.limits import raise_descriptor_limit

    skip_charset_detection()  # before the next import
    from agent.app.service import Service

    gc.freeze()
    gc.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would contain the broker's password
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    raise_descriptor_limit()
    configure_logging(config.agent.log_level, config.agent.log_format)
    return Service(config, load_config, ending, reload, once=options.once, dry_run=options.dry_run).run()


def _health() -> int:
    troubles = read_health(os.environ)
    print("\n".join(map(escape, troubles)) or "well")
    return 1 if troubles else 0


def _web(config: Config, ending: CancelToken) -> int:
    try:
        from agent.fleet.web.command import web
    except ModuleNotFoundError as error:
        print(f"the page needs {error.name}, which is not installed: pip install 'usage-agent[web]'", file=sys.stderr)
        return 2
    configure_logging(config.agent.log_level, config.agent.log_format)
    return web(config, ending)


def _forget(config: Config, options: argparse.Namespace) -> int:
    from agent.app.forget import forget

    return forget(config, options.host or config.agent.host, options.dry_run)


def _migrate(config: Config, options: argparse.Namespace) -> int:
    from agent.app.migrate import migrate

    return migrate(config, options.host or config.agent.host, options.dry_run, options.undo)


def _watch(config: Config, options: argparse.Namespace, ending: CancelToken) -> int:
    from agent.fleet.selection import Selection
    from agent.fleet.watch import WatchOptions, watch

    selection = Selection(options.host or "*", options.filter or "*", options.sort)
    return watch(config, WatchOptions(selection, options.once, options.json), ending)
