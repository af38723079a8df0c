"""The shipped config.toml, held to the typed definition."""

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import inspect

from agent.config import Config, load
from agent.config.fields import KEYS

SHIPPED = Path(__file__).parents[2] / "config.toml"


def test_as_shipped_it_sets_nothing() -> None:
    """Every key is commented out: the shipped file is the defaults."""
    assert tomllib.loads(SHIPPED.read_text()) == {field.name: {} for field in msgspec.structs.fields(Config)}


def test_it_shows_every_key_in_order_with_its_default(tmp_path: Path) -> None:
    """With every `#` taken away it is the defaults still, and no key is missing."""
    uncommented = re.sub(r"^# ", "", SHIPPED.read_text(), flags=re.MULTILINE)
    document = tomllib.loads(uncommented)
    assert [f"{table}.{key}" for table, content in document.items() for key in content] == list(KEYS)
    path = tmp_path / "config.toml"
    path.write_text(uncommented)
    assert load(path, {}) == load(SHIPPED, {})


def test_every_key_has_its_sentence_above_it() -> None:
    """The `##` line above a key is the description in the typed definition."""
    sentences = re.findall(r"^## (.*)\n# (\w+) = ", SHIPPED.read_text(), flags=re.MULTILINE)
    described = []
    for key in KEYS.values():
        kind = inspect.type_info(key.annotation)
        assert isinstance(kind, inspect.Metadata)
        described.append(((kind.extra_json_schema or {})["description"], key.name))
    assert sentences == described


def test_every_line_is_prose_a_default_a_table_or_empty() -> None:
    """`##` is prose, `#` a commented default, and nothing else is there."""
    for line in SHIPPED.read_text().splitlines():
        assert re.fullmatch(r"|## .+|# \w+ = .+|\[\w+\]", line), line
        assert len(line) <= 120
