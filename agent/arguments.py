"""The command line: commands and their arguments. Imports none of them."""

import argparse
from pathlib import Path

from agent import __version__

COMMANDS = {
    "run": "run the agent in the foreground",
    "check": "try configuration, engine and broker, and print what works and what does not",
    "watch": "show a live table of every container of every host on the broker; needs no engine",
    "web": "serve a page with every container of every host on the broker; needs no engine",
    "install-service": "make a service of systemd out of this program, or remove it",
    "schema": "print the JSON Schema of the payloads",
    "forget": "clear what the agent of a host that is gone has left retained on the broker",
    "migrate-discovery": "take over the entities that docker2mqtt has made in Home Assistant, with their history",
    "health": "print whether the running agent is well; needs neither its configuration nor its password",
}

FOR_SERVICE = ("check", "watch", "forget", "migrate-discovery")
"""The commands that a user runs beside the service. They may be unable to read the service's credential."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = argparse.ArgumentParser(
        prog="usage-agent",
        description="Publishes the resource usage of every container to MQTT: one JSON message per interval.",
    )
    root.add_argument("--version", action="version", version=f"usage-agent {__version__}")
    _add_config(root, None)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        # The command has no default for --config: it would overwrite a --config in front of the command.
        _add_config(commands.add_parser(name, help=text, description=text), argparse.SUPPRESS)
    run = commands.choices["run"]
    run.add_argument("--once", action="store_true", help="publish one usage of every container, then exit")
    run.add_argument("--dry-run", action="store_true", help="print what would be published, and use no broker")
    text = "file with the broker's password, in place of broker.password_file"
    for name in FOR_SERVICE:
        commands.choices[name].add_argument("--password-file", metavar="PATH", help=text)
    _add_watch(commands.choices["watch"])
    forget = commands.choices["forget"]
    forget.add_argument("--host", type=_host, metavar="HOST", help="the host, as in agent.host (default: agent.host)")
    forget.add_argument("--dry-run", action="store_true", help="print what would be cleared, and clear nothing")
    _add_migration(commands.choices["migrate-discovery"])
    _add_installation(commands.choices["install-service"])
    return root


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--once", action="store_true", help="print the table once, when every container has shown itself"
    )
    parser.add_argument("--json", action="store_true", help="print each message as a line of JSON, as it comes")
    parser.add_argument("--host", metavar="GLOB", help="only these hosts")
    parser.add_argument("--filter", metavar="GLOB", help="only the containers of these names")
    sorts = ("cpu", "memory", "network", "disk", "name")
    parser.add_argument("--sort", choices=sorts, default="name", help="the order of each host's containers (name)")
    text = "first level(s) of the topics, in place of topics.base"
    parser.add_argument("--topic-base", type=_base, metavar="BASE", help=text)


def _add_migration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", required=True, choices=["docker2mqtt"], help="the program that has made the entities")
    parser.add_argument("--host", type=_host, metavar="HOST", help="what it calls this host (default: agent.host)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")
    parser.add_argument("--undo", action="store_true", help="give the entities back")


def _add_installation(parser: argparse.ArgumentParser) -> None:
    text = "the service of this user's systemd, for rootless Docker or Podman, in place of the system's"
    parser.add_argument("--user", action="store_true", help=text)
    parser.add_argument("--uninstall", action="store_true", help="remove the service, and keep its configuration")
    parser.add_argument("--purge", action="store_true", help="with --uninstall: remove the configuration, too")
    parser.add_argument("--dry-run", action="store_true", help="print every file and command, and change nothing")


def _host(text: str) -> str:
    """Return the argument of --host. An empty one is refused: it was an unset variable, and would mean this host."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, allowed is the name of a host")
    return text


def _base(text: str) -> str:
    """Return the argument of --topic-base. An empty one is refused, as an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError("is empty, allowed are the first levels of topics")
    return text


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    text = "configuration file (default: ./config.toml, else /etc/usage-agent/config.toml, else built-in defaults)"
    parser.add_argument("--config", type=Path, metavar="PATH", default=default, help=text)
