"""The files of the page, read once: they are small, and a request cannot name any other file."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file, as it is served."""

    content: bytes
    media_type: str
    etag: str


def read_page() -> dict[str, PageFile]:
    """Return the files by the path under which they are served. `/` is the page itself."""
    found = {}
    for file in files("agent.fleet.web").joinpath("page").iterdir():
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        path = "/" if file.name == "index.html" else f"/{file.name}"
        found[path] = PageFile(content, _TYPES[f".{file.name.rpartition('.')[2]}"], etag)
    return found
