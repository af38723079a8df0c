"""No block of the documents is forgotten: each is run, compared, or listed with a reason why not."""

import re
from pathlib import Path

import yaml

from documents.blocks import blocks
from documents.treated import BY_TEST, NOT_RUN

TESTS = Path(__file__).parents[1]


def test_every_block_is_treated() -> None:
    """Each block has an entry in treated.py, and each entry a block."""
    found = [block.key for block in blocks()]
    assert len(set(found)) == len(found), "two blocks of a page begin with the same line"
    assert set(found) == BY_TEST.keys() | NOT_RUN.keys()
    assert not BY_TEST.keys() & NOT_RUN.keys()


def test_named_tests_exist() -> None:
    """The tests that treated.py names are there."""
    for test in set(BY_TEST.values()):
        path, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (TESTS / path).read_text(), re.MULTILINE), test


def test_blocks_of_yaml_can_be_read() -> None:
    """What is pasted into Home Assistant or Prometheus is YAML."""
    shown = [block for block in blocks() if block.language == "yaml"]
    assert len(shown) > 5
    for block in shown:
        assert isinstance(yaml.safe_load(block.text), dict | list), block.key
