"""The fenced blocks of README and docs/: what people copy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: path of the document in the repository.
        language: what stands behind the fence.
        text: its lines, without the indentation of a list.
    """

    page: str
    language: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """The page and the first line, by which `treated.py` names the block."""
        return self.page, self.text.partition("\n")[0]

    @property
    def commands(self) -> list[str]:
        r"""The commands of a `console` block, those over several lines (`\`) as one, without the prompt."""
        joined = self.text.replace("\\\n", "")
        return [line[2:] for line in joined.splitlines() if line.startswith(("$ ", "# "))]


def blocks() -> Iterator[Block]:
    """Yield the blocks of all pages, but no drawings."""
    for page in PAGES:
        for found in _FENCE.finditer(page.read_text()):
            if found["language"] == "text":
                continue
            text = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
            yield Block(str(page.relative_to(ROOT)), found["language"], text)


def block(page: str, first: str) -> Block:
    """Return the block of a page that begins with this line."""
    [found] = [one for one in blocks() if one.key == (page, first)]
    return found
