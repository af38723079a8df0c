"""A first look: the agent, with an engine, a broker and a container where there are none, and what it publishes.

    python -m support.first_look [--raw] [arguments of `usage-agent run`]

On a terminal it is shown by `watch` and on a web page; elsewhere, or with --raw, as lines. Everything that is started
here is ended here. `--missing` only says which commands must be installed for it.
"""

import argparse
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.config import Config, ConfigError, load
from support.first_look.lines import show_lines
from support.first_look.screen import show_screen
from support.first_look.surroundings import missing, say, started


def main() -> int:
    """Look, or say what is missing for it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--config", type=Path)
    options, _ = parser.parse_known_args()
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--missing", "--raw")]
    try:
        config = load(options.config, os.environ)
        if options.missing:
            print(*missing(config))
            return 0
        return look(config, options.config, arguments, options.raw)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def look(config: Config, path: Path | None, arguments: Sequence[str], raw: bool) -> int:
    """Start what is missing, run the agent until it ends or nobody looks, end what was started; return the code."""
    dry_run = "--dry-run" in arguments
    on_screen = not (raw or dry_run or "--once" in arguments) and _has_screen()
    with started(config, with_broker=not dry_run) as settings:
        environment = os.environ | settings
        config = load(path, environment)
        if on_screen:
            return show_screen(config, arguments, environment)
        return show_lines(config, arguments, environment, subscribe=not dry_run)


def _has_screen() -> bool:
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return False
    if importlib.util.find_spec("textual") is None:  # with VENV=… it need not be there
        say("textual is not installed in this environment (usage-agent[watch]): lines instead of a screen")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
