"""What the real docker2mqtt retained on a broker, of the containers web, db.main, sick (unhealthy) and job (ended).

`docker2mqtt --name nas --events --stats`; the one that is called `single` with `--homeassistant-single-device` too.
"""

import json
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
VERSIONS = ("2.3.1", "2.6.1", "2.6.1-single")
CONTAINERS = ("web", "db.main", "sick", "job")
PREFIX = "homeassistant"


def recorded(version: str) -> dict[str, bytes]:
    """Return the retained messages of a version, by topic."""
    messages = json.loads((RECORDED / f"docker2mqtt-{version}.json").read_text())
    return {topic: payload.encode() for topic, payload in messages.items()}


def discovery(version: str) -> dict[str, bytes]:
    """Return the discovery messages among them."""
    return {topic: payload for topic, payload in recorded(version).items() if topic.startswith(f"{PREFIX}/")}
