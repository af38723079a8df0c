"""The commands and their exit codes: 0 success, 2 configuration, 1 anything else; `check` also 3 engine, 4 broker.

`forget` and `migrate-discovery` return 4 if the broker cannot be used, and 2 also if they must not do what they are
asked for: for the host of a running agent, or while `home_assistant.enabled` is false.

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
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import orjson

from agent import __version__
from agent.config import DEFAULT_PATHS, Config, ConfigError, find, load
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import read_health
from agent.runtime.logs import configure_logging
from agent.runtime.signals import ReloadRequest, agent_signals
from agent.runtime.streams import discard, open_standard_streams
from agent.runtime.text import escape

COMMANDS = {
    "run": "run the agent in the foreground",
    "check": "try configuration, engine and broker, and print what works and what does not",
    "schema": "print the JSON Schema of the payloads",
    "forget": "clear what the agent of a host that is gone has left retained on the broker",
    "migrate-discovery": "take over the entities that docker2mqtt has made in Home Assistant, with their history",
    "health": "print whether the running agent is well; needs neither its configuration nor its password",
}

FOR_SERVICE = ("check", "forget", "migrate-discovery")
"""The commands that are run beside the service, whose credential may not be readable from there."""

# How long a thread may keep the interpreter while others wait for it. With Python's default of 5 ms each waiting thread
# wakes 200 times a second to ask for it; with thousands of streams a busy agent came to do nothing else.
SWITCH_INTERVAL_SECONDS = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    open_standard_streams()
    options = _parser().parse_args(arguments)
    ending = CancelToken()
    reload = ReloadRequest(ending)
    try:
        # Signals are handled from here on, because importing what the agent needs takes half a second.
        with agent_signals(ending, reload) if options.command == "run" else nullcontext():
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
    environment: Mapping[str, str] = os.environ
    for_service = options.command in FOR_SERVICE
    if for_service and options.password_file:
        environment = {**os.environ, "USAGE_AGENT_BROKER__PASSWORD_FILE": options.password_file}
    # Found once: a file that has vanished must be a mistake when it is read anew, and not mean the defaults.
    load_config = partial(load, options.config or find(DEFAULT_PATHS), environment, needs_credential=not for_service)
    try:
        config = load_config()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    match options.command:
        case "check":
            return _check(config, options.config)
        case "forget":
            return _forget(config, options)
        case "migrate-discovery":
            return _migrate(config, options)
        case _:
            return _run(config, load_config, options, ending, reload)


def _schema() -> int:
    from agent.messages.payloads import schema

    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())
    return 0


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
    gc.disable()  # modules are not garbage: to look for some meanwhile is a twentieth of a start's CPU time
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


def _forget(config: Config, options: argparse.Namespace) -> int:
    from agent.app.forget import forget

    return forget(config, options.host or config.agent.host, options.dry_run)


def _migrate(config: Config, options: argparse.Namespace) -> int:
    from agent.app.migrate import migrate

    return migrate(config, options.host or config.agent.host, options.dry_run, options.undo)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="usage-agent",
        description="Publishes the resource usage of every container to MQTT: one JSON message per interval.",
    )
    parser.add_argument("--version", action="version", version=f"usage-agent {__version__}")
    _add_config(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        # Without a default of its own: that would overwrite a --config in front of the command.
        _add_config(commands.add_parser(name, help=text, description=text), argparse.SUPPRESS)
    run = commands.choices["run"]
    run.add_argument("--once", action="store_true", help="publish one usage of every container, then exit")
    run.add_argument("--dry-run", action="store_true", help="print what would be published, and use no broker")
    text = "file with the broker's password, in place of broker.password_file"
    for name in FOR_SERVICE:
        commands.choices[name].add_argument("--password-file", metavar="PATH", help=text)
    forget = commands.choices["forget"]
    forget.add_argument("--host", type=_host, metavar="HOST", help="the host, as in agent.host (default: agent.host)")
    forget.add_argument("--dry-run", action="store_true", help="print what would be cleared, and clear nothing")
    _add_migration(commands.choices["migrate-discovery"])
    return parser


def _add_migration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", required=True, choices=["docker2mqtt"], help="the program that has made the entities")
    parser.add_argument("--host", type=_host, metavar="HOST", help="what it calls this host (default: agent.host)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")
    parser.add_argument("--undo", action="store_true", help="give the entities back")


def _host(text: str) -> str:
    """Return the argument of --host. An empty one is refused: it was an unset variable, and would mean this host."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, allowed is the name of a host")
    return text


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    text = "configuration file (default: ./config.toml, else /etc/usage-agent/config.toml, else built-in defaults)"
    parser.add_argument("--config", type=Path, metavar="PATH", default=default, help=text)
