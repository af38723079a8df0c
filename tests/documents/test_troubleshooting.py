"""docs/troubleshooting.md quotes messages that exist, and leaves out no warning and no error."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import agent

PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"
QUOTED = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(), re.MULTILINE)
HOLE = "\0"  # stands for what is filled in
# How logging and str.format fill in values: %s, %g, %04o, {name}.
_FIELD = re.compile(r"%[-\d.]*[a-z]|\{\w*\}")


def test_every_quoted_message_exists() -> None:
    """The words of each message on the page are those of one text in the code, in this order."""
    texts = {text for tree in trees() for text in literals(tree)}
    assert len(QUOTED) > 50
    assert [message for message in QUOTED if not any(quotes(message, text) for text in texts)] == []


def test_every_warning_and_error_is_on_the_page() -> None:
    """What the agent logs, or `check` prints, as a warning or an error can be found on the page."""
    logged = [text for tree in trees() for text in log_calls(tree) if re.search(r"\w", text)]
    assert len(logged) > 15
    assert [text for text in logged if not any(quotes(message, text) for message in QUOTED)] == []


def quotes(message: str, text: str) -> bool:
    """Return whether a message of the page, in which `…` stands for what is filled in, is in a text of the code."""
    return re.search(".*?".join(map(re.escape, message.split("…"))), text, re.DOTALL) is not None


@cache
def trees() -> list[ast.Module]:
    """Return the syntax trees of the agent's modules."""
    return [ast.parse(path.read_text()) for path in sorted(Path(agent.__file__).parent.rglob("*.py"))]


def literals(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a tree, but no docstrings; what is filled in is a hole, and what is added up is one text."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    text = text_of(node)
    if text is not None:
        yield text
        return
    for child in ast.iter_child_nodes(node):
        yield from literals(child)


def text_of(node: ast.AST) -> str | None:
    """Return the text of an expression, or None if it is none."""
    match node:
        case ast.Constant(value=str(value)):
            return _FIELD.sub(HOLE, value)
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) or HOLE for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = text_of(left), text_of(right)
            return None if parts == (None, None) else "".join(part or HOLE for part in parts)
    return None


def log_calls(tree: ast.Module) -> Iterator[str]:
    """Yield the texts that are logged as warnings, errors or exceptions, or printed by `check` as such."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[text, *_]):
                if level in ("warning", "error", "exception"):
                    yield text_of(text) or HOLE
            case ast.Call(func=ast.Name(id="print_line"), args=[ast.Constant(value="warn" | "FAIL"), _, text]):
                yield text_of(text) or HOLE
