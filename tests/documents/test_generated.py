"""The generated documents are those that the code describes today."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import agent
from agent.config.fields import KEYS
from agent.messages.payloads import schema

ROOT = Path(__file__).parents[2]
PAGES = ("asyncapi.yaml", "configuration.md", "payloads.md")
ASYNCAPI: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())


@pytest.mark.parametrize("page", PAGES)
def test_page_is_current(page: str) -> None:
    """The page is what its script prints; write it anew after a change of a key, a topic or a payload."""
    script = ROOT / "scripts" / Path(page).with_suffix(".py")
    # The tests may run with PYTHONSAFEPATH, as scripts/test does: scripts import from their own directory.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment = inherited | {"PYTHONPATH": str(Path(agent.__file__).parents[1])}
    done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, check=True, env=environment)
    assert done.stdout.decode() == (ROOT / "docs" / page).read_text()


def test_every_key_is_on_the_page() -> None:
    """The page of the configuration has each key once, with its environment variable."""
    page = (ROOT / "docs/configuration.md").read_text()
    assert [key.path for key in KEYS.values() if page.count(f"`{key.name}`<br>`{key.variable}`") != 1] == []


def test_every_page_is_in_the_navigation() -> None:
    """Each page of docs/ has its place in the site, and is named by docs/README.md or docs/decisions/README.md."""
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    placed = set(re.findall(r"docs/[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert placed == pages
    listed = (ROOT / "docs/README.md").read_text() + (ROOT / "docs/decisions/README.md").read_text()
    assert [page for page in pages if f"({Path(page).name})" not in listed and Path(page).name != "README.md"] == []


def test_references_of_the_asyncapi_document_lead_somewhere() -> None:
    """Each `$ref` names a part of the document, and all payloads of the schema are in it."""
    found = set(references(ASYNCAPI))
    assert {f"#/components/schemas/{name}" for name in ("Usage", "ContainerStatus", "AgentStatus")} <= found
    for reference in found:
        part = ASYNCAPI
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    assert set(ASYNCAPI["components"]["schemas"]) == set(schema()["$defs"])


def references(part: Any) -> Iterator[str]:
    """Yield every reference in a part of the document."""
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            yield from (reference for value in part.values() for reference in references(value))
        case list():
            yield from (reference for value in part for reference in references(value))
