"""The ids of devices and entities in Home Assistant. Pure.

A device stands for a host, or for the name of a container on a host. A container that is created anew under its name is
the same device, with its history. So the container's id is no part of the device's id.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

PREFIX = "usage-agent_"

_UNSAFE = re.compile("[^a-zA-Z0-9_-]")  # Home Assistant allows no other character in a discovery topic
_NO_SLUG = re.compile("[^a-z0-9]+")
HASH_DIGITS = 6
MAX_SLUG_CHARACTERS = 200  # an entity id has 255 at most, and a key behind the slug


class NamedContainer(NamedTuple):
    """A container to be given a device.

    Attributes:
        id: the container's id.
        name: its name, as messages show it.
        own_name: its name in the engine, which is unique there.
    """

    id: str
    name: str
    own_name: str


def host_device_id(host: str, taken: Collection[str] = ()) -> str:
    """Return the device id of a host: `usage-agent_<host>`; if that is taken, with a hash of the host's name behind it.

    Args:
        host: the host's name.
        taken: device ids of other hosts and their containers.
    """
    plain = PREFIX + _replace_unsafe(host)
    return plain if plain not in taken else f"{plain}-{_hash(host)}"


def container_device_ids(
    host: str, containers: Iterable[NamedContainer], taken: Collection[str] = ()
) -> dict[str, str]:
    """Return the device id of each container, by container id: `usage-agent_<host>_<name>`.

    Several names may become the same id, because some characters are replaced by `_`. Then only one container has this
    id: one in whose own name nothing is replaced, else the first in the alphabet. Each other container has a hash of
    its own name behind the id. The order of `containers` makes no difference.

    Args:
        host: the host's name.
        containers: all containers that have a device.
        taken: device ids of other hosts and their containers.
    """
    claims: dict[str, list[NamedContainer]] = defaultdict(list)
    for container in containers:
        claims[f"{PREFIX}{_replace_unsafe(host)}_{_replace_unsafe(container.name)}"].append(container)
    ids: dict[str, str] = {}
    for plain, claimants in claims.items():
        claimants.sort(
            key=lambda container: (_replace_unsafe(container.own_name) != container.own_name, container.own_name)
        )
        for number, container in enumerate(claimants):
            is_free = number == 0 and plain not in taken
            ids[container.id] = plain if is_free else f"{plain}-{_hash(f'{host}/{container.own_name}')}"
    return ids


def entity_slug(*parts: str) -> str:
    """Return the first part of an object id, such as `nas_web`: small letters, digits and single underscores."""
    return _NO_SLUG.sub("_", "_".join(parts).lower()).strip("_")[:MAX_SLUG_CHARACTERS]


def _replace_unsafe(text: str) -> str:
    return _UNSAFE.sub("_", text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:HASH_DIGITS]
