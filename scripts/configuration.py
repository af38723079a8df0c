"""Print docs/configuration.md: every key of the configuration, as agent/config/settings.py defines them.

.venv/bin/python scripts/configuration.py >docs/configuration.md
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import msgspec
from msgspec import inspect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.app.reload import STEPS
from agent.config.fields import KEYS, Key
from agent.config.settings import Config

HEAD = """\
# Configuration

<!-- Written by scripts/configuration.py from agent/config/settings.py. -->

The agent works without a configuration: then every key has its default. A key is set in `config.toml`, or by the
environment variable that stands below its name here. The variable wins. The file is the one that `--config` names, else
`./config.toml`, else `/etc/usage-agent/config.toml`.

```toml
[agent]
host = "nas"

[broker]
url = "mqtt://broker.example"
```

The same in the environment:

```sh
USAGE_AGENT_AGENT__HOST=nas
USAGE_AGENT_BROKER__URL=mqtt://broker.example
```

- Durations are seconds, with fractions if needed.
- A list in a variable is an array as in TOML, or comma-separated. An empty variable is not set. Quotation marks around
  the whole value are a mistake: they would be part of it.
- Where the default is `""`, an empty text counts as not set.
- An unknown key, a wrong type or an impossible value ends the agent with exit code 2. All mistakes are told at once,
  each with what is allowed. `usage-agent check` finds them before the start.
- Keys with "yes" under "reload" take effect at SIGHUP (`systemctl reload usage-agent`); the others need a restart. The
  log names both. A mistake changes nothing then.
"""


def main() -> None:
    """Print the page."""
    tables = msgspec.structs.fields(Config)
    print(HEAD)
    print("\n".join(line for table in tables for line in section(table.name, table.type)).rstrip())


def section(table: str, settings: type[msgspec.Struct]) -> Iterator[str]:
    """Yield the lines about one table: what it is about, and its keys."""
    yield f"## `[{table}]`\n\n{(settings.__doc__ or '').splitlines()[0]}\n"
    yield "| key | value | default | reload | meaning |"
    yield "|---|---|---|---|---|"
    defaults = settings()
    for key in KEYS.values():
        if key.table == table:
            yield row(key, defaults)
    yield ""


def row(key: Key, defaults: msgspec.Struct) -> str:
    """Return the line of one key."""
    kind = cast(inspect.Metadata, inspect.type_info(key.annotation))  # as `fields.py` makes sure
    meaning = (kind.extra_json_schema or {})["description"].replace("<", "&lt;")  # Markdown takes it for HTML
    # No key of the web page is the agent's: `usage-agent web` reads them when it starts.
    reload = "yes" if key.path in STEPS else "no"
    name = f"`{key.name}`<br>`{key.variable}`"
    return f"| {name} | {allowed(key)} | `{default(key, defaults)}` | {reload} | {meaning} |"


def allowed(key: Key) -> str:
    """Return which values a key can have."""
    match key.kind:
        case inspect.BoolType():
            return "`true`, `false`"
        case inspect.LiteralType():
            # In the order of the definition; `kind.values` is sorted.
            return ", ".join(f"`{json.dumps(value)}`" for value in get_args(get_args(key.annotation)[0]))
        case inspect.IntType(ge=minimum, le=maximum):
            return f"whole number, {minimum} to {maximum}"
        case inspect.FloatType(gt=None, ge=minimum, le=maximum):
            return f"number, {minimum} to {maximum}"
        case inspect.FloatType(gt=above, le=maximum):
            return f"number above {above}, up to {maximum}"
        case inspect.VarTupleType():
            return "text, or a list of texts" if key.path == "broker.url" else "list of texts"
    return "text"


def default(key: Key, defaults: msgspec.Struct) -> str:
    """Return a key's default, as TOML spells it."""
    if key.optional or key.path in ("agent.host", "engine.url"):
        return '""'
    value = getattr(defaults, key.name)
    if key.path == "broker.url":
        value = value[0]
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


if __name__ == "__main__":
    main()
