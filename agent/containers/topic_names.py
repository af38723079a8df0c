"""Which topic level(s) a container has: rendered from the template, made safe, told apart where two would collide."""

import re
from collections import defaultdict

from agent.containers.container import Container
from agent.messages.topics import safe

# Compose recreates a container by renaming the old one to <its short id>_<name> for a moment, or by giving the new
# one the old one's short id in front until the old one is gone. Neither is a container of another name.
_INTERLUDE = re.compile("([0-9a-f]{12})_(.+)", re.DOTALL)


def render(template: str, container: Container, name: str) -> str:
    """Fill the template `topics.container`; what a container has no Compose name for is filled with its name."""
    return template.format(
        name=safe(name),
        id=safe(container.id),
        short_id=safe(container.short_id),
        project=safe(container.project or name),
        service=safe(container.service or name),
    )


class TopicNames:
    """Gives every container its level. The older of two that would collide keeps the plain one.

    Not thread-safe: the supervisor holds its lock. `claim` and `release` return the levels that they may have
    changed, by id; None for a container in Compose's interlude that has to give way and is not heard of any more.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self._plain: dict[str, str] = {}
        self._groups: dict[str, dict[str, tuple[bool, int, str]]] = defaultdict(dict)

    def allocate(self, container: Container) -> dict[str, str | None]:
        """Give this container its level, or another one after a rename."""
        name = self.base_name(container)
        plain = render(self._template, container, name)
        changed = {} if self._plain.get(container.id, plain) == plain else self.release(container.id)
        self._plain[container.id] = plain
        self._groups[plain][container.id] = (name != container.name, container.created, container.id)
        return changed | self._around(plain, container.id)

    def release(self, container_id: str) -> dict[str, str | None]:
        """Take back the level of a container that is gone."""
        plain = self._plain.pop(container_id, None)
        if plain is None:
            return {}
        del self._groups[plain][container_id]
        return self._around(plain, container_id)

    def competitors(self, container: Container) -> set[str]:
        """The ids of the others that want the level which this container wants."""
        plain = render(self._template, container, self.base_name(container))
        return set(self._groups.get(plain, ())) - {container.id}

    def base_name(self, container: Container) -> str:
        """The name without Compose's interlude prefix, where it is one: the short id of a container we know."""
        match = _INTERLUDE.fullmatch(container.name)
        if match and any(known.startswith(match[1]) for known in (container.id, *self._plain)):
            return match[2]
        return container.name

    def _around(self, plain: str, container_id: str) -> dict[str, str | None]:
        """The levels of a group, one of which has changed, and of groups whose name is that of one put aside there."""
        levels = self._levels(plain)
        for one in (container_id, *levels):
            if (aside := _aside(plain, one)) in self._groups:
                levels = levels | self._levels(aside)
        return levels

    def _first(self, plain: str, container_id: str) -> str:
        """The level of a group's first: the plain one, unless another container was put aside just there."""
        other, _, short_id = plain.rpartition("-")
        taken = any(safe(one[:12]) == short_id for one in self._groups.get(other, ()))
        return _aside(plain, container_id) if taken else plain

    def _levels(self, plain: str) -> dict[str, str | None]:
        group = sorted(self._groups[plain].values())
        if not group:
            del self._groups[plain]
        return {
            container_id: self._first(plain, container_id)
            if place == 0
            else None
            if interlude
            else _aside(plain, container_id)
            for place, (interlude, _created, container_id) in enumerate(group)
        }


def _aside(plain: str, container_id: str) -> str:
    """The level of a container that has to leave the plain one to another."""
    return f"{plain}-{safe(container_id[:12])}"
