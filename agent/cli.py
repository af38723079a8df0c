"""The commands and their exit codes: 0 well, 1 anything else, 2 configuration, and for `check` 3 engine, 4 broker.

What a command needs is imported when it is given: `health` is asked every half minute, for months, and must not load
the clients of engine and broker each time.
"""

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import orjson

from agent import __version__
from agent.config import DEFAULT_PATHS, Config, ConfigError, find, load
from agent.runtime.cancel import CancelToken
from agent.runtime.heartbeat import HeartbeatFile
from agent.runtime.logs import configure_logging
from agent.runtime.signals import ending_signals

COMMANDS = {
    "run": "run the agent, in the foreground",
    "check": "try configuration, engine and broker, and say what works",
    "schema": "print the JSON Schema of the payloads",
    "health": "tell whether the running agent is well",
}

# Seconds for which a thread may keep the interpreter while others wait. At Python's 5 ms each of those that wait wakes
# 200 times a second to ask for it: with thousands of streams a busy agent came to do nothing else.
TURN = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    ending = CancelToken()
    try:
        # From here on, not only once the agent runs: what it needs takes half a second to import.
        with ending_signals(ending) if options.command == "run" else nullcontext():
            code = _command(options, ending)
        sys.stdout.flush()
    except BrokenPipeError:  # what we print into has read enough; nor may the interpreter's last flush complain of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        _flush_log()
    return code


def _flush_log() -> None:
    """Give up what a full disk keeps of the log: the last flush would fail, and that would be the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _command(options: argparse.Namespace, ending: CancelToken) -> int:
    if options.command == "schema":
        return _schema()
    try:
        config = load(options.config, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    match options.command:
        case "check":
            return _check(config, options.config or find(DEFAULT_PATHS))
        case "health":
            return _health(config)
        case _:
            return _run(config, options, ending)


def _schema() -> int:
    from agent.messages.payloads import schema

    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())
    return 0


def _check(config: Config, path: Path | None) -> int:
    from agent.engine.charset import skip_charset_detection

    skip_charset_detection()  # before the next import
    from agent.app.check import check

    return check(config, path)


def _run(config: Config, options: argparse.Namespace, ending: CancelToken) -> int:
    from agent.engine.charset import skip_charset_detection
    from agent.runtime.limits import raise_descriptor_limit

    skip_charset_detection()  # before the next import
    from agent.app.service import Service

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would keep the broker's password
    sys.setswitchinterval(TURN)
    raise_descriptor_limit()
    configure_logging(config.agent.log_level, config.agent.log_format)
    return Service(config, ending, once=options.once, dry_run=options.dry_run).run()


def _health(config: Config) -> int:
    troubles = HeartbeatFile(config.agent.host, os.environ).read()
    print("\n".join(troubles) or "well")
    return 1 if troubles else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="usage-agent",
        description="Publishes what every container uses to MQTT: one JSON message per container and interval.",
    )
    parser.add_argument("--version", action="version", version=f"usage-agent {__version__}")
    _add_config(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        # The default is the parser's above: one of a command's own would overwrite what stood before the command.
        _add_config(commands.add_parser(name, help=text, description=text), argparse.SUPPRESS)
    run = commands.choices["run"]
    run.add_argument("--once", action="store_true", help="publish one usage of every container, then end")
    run.add_argument("--dry-run", action="store_true", help="print what would be published; needs no broker")
    return parser


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    text = "configuration file (default: ./config.toml, then /etc/usage-agent/config.toml, else the defaults)"
    parser.add_argument("--config", type=Path, metavar="PATH", default=default, help=text)
