"""The shipped config.toml agrees with the definition of the keys."""

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import inspect

from agent.config import Config, load
from agent.config.fields import KEYS

SHIPPED = Path(__file__).parents[2] / "config.toml"


def test_the_shipped_file_sets_no_key() -> None:
    """Every key is commented out."""
    assert tomllib.loads(SHIPPED.read_text()) == {field.name: {} for field in msgspec.structs.fields(Config)}


def test_every_key_is_shown_in_order_with_its_default(tmp_path: Path) -> None:
    """Without the `#` in front of the keys the file still has the defaults, and no key is missing."""
    uncommented = re.sub(r"^# ", "", SHIPPED.read_text(), flags=re.MULTILINE)
    document = tomllib.loads(uncommented)
    assert [f"{table}.{key}" for table, content in document.items() for key in content] == list(KEYS)
    path = tmp_path / "config.toml"
    path.write_text(uncommented)
    assert load(path, {}) == load(SHIPPED, {})


def test_every_key_has_its_description_above_it() -> None:
    """The `##` line above a key is its description in `settings.py`."""
    shown = re.findall(r"^## (.*)\n# (\w+) = ", SHIPPED.read_text(), flags=re.MULTILINE)
    described = []
    for key in KEYS.values():
        kind = inspect.type_info(key.annotation)
        assert isinstance(kind, inspect.Metadata)
        described.append(((kind.extra_json_schema or {})["description"], key.name))
    assert shown == described


def test_every_line_is_text_a_default_a_table_or_empty() -> None:
    """`##` starts a line of text, `#` a key that is commented out."""
    for line in SHIPPED.read_text().splitlines():
        assert re.fullmatch(r"|## .+|# \w+ = .+|\[\w+\]", line), line
        assert len(line) <= 120
