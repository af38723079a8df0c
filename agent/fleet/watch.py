"""`usage-agent watch`: a live table of all containers of all hosts on the broker, from their messages alone.

--json: each message as a line. --once, or not on a terminal: the table, once. Else the screen, which needs an extra.
"""

import sys
from dataclasses import dataclass

from agent.config import Config
from agent.fleet.selection import Selection
from agent.runtime.cancel import CancelToken

NOT_INSTALLED = 2  # exit code, as for a configuration that cannot be used


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What `watch` was asked for.

    Attributes:
        selection: which hosts and containers, and in which order.
        once: end when every container that runs has shown a usage.
        json: print the messages.
    """

    selection: Selection
    once: bool = False
    json: bool = False


def watch(config: Config, options: WatchOptions, ending: CancelToken) -> int:
    """Show what the agents publish, until `ending` is set or the user ends it.

    Args:
        config: the broker and the base of the topics.
        options: what is shown, and how.
        ending: may be set at any moment.

    Returns:
        The exit code.
    """
    # textual draws on standard error, so that the output can be used for something else.
    on_terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if options.json or options.once or not on_terminal:
        from agent.fleet.plain import JsonLines, OneTable

        if options.json:
            return JsonLines(config, options.selection, options.once).run(ending)
        return OneTable(config, options.selection).run(ending)
    try:
        from agent.fleet.watch_screen import run_screen
    except ModuleNotFoundError as error:
        print(
            f"the screen needs {error.name}, which is not installed: pip install 'usage-agent[watch]'; "
            "--once and --json need nothing",
            file=sys.stderr,
        )
        return NOT_INSTALLED
    return run_screen(config, options.selection, ending)
