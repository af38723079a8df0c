"""The topic level of each container: made from the template `topics.container`, and unique.

A container's name is that of its label `usage-agent.name`, if it has one, else the engine's.

An example with the template `{service}` and two containers of the Compose service `web`. They would collide:

    web-1, created first                    web
    web-2, with the id 0123456789ab…        web-0123456789ab

When web-1 is removed, web-2 is published as `web`. There may be a third container whose service is really called
`web-0123456789ab`. Its level has its own short id at the end, as long as web-2 has the level `web-0123456789ab`.

"Level" stands for several levels if the template has a slash in it.

Which containers have to wait for a level: `ContainerRegistry.blockers`. Where they wait: `WorkQueue.defer`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from agent.containers.container import Container
from agent.runtime.text import topic_level

# Compose recreates a container by renaming the old one to <its short id>_<name> for a moment, or by giving the new
# one the old one's short id in front until the old one is gone. In both cases the real name follows the underscore.
_COMPOSE_TEMPORARY = re.compile("([0-9a-f]{12})_(.+)", re.DOTALL)


def render(template: str, container: Container, name: str) -> str:
    """Fill in the template `topics.container`.

    `{project}` and `{service}` fall back to `name` if Compose did not create the container.
    """
    return template.format(
        name=topic_level(name),
        id=topic_level(container.id),
        short_id=topic_level(container.short_id),
        project=topic_level(container.project or name),
        service=topic_level(container.service or name),
    )


def strip_temporary_prefix(name: str, ids: Iterable[str]) -> str:
    """Return a container's name without Compose's temporary prefix, which is the short form of one of `ids`."""
    match = _COMPOSE_TEMPORARY.fullmatch(name)
    return match[2] if match and any(known.startswith(match[1]) for known in ids) else name


class _Claim(NamedTuple):
    """One container's claim to the level that the template gives it.

    Claims are compared as tuples; the smallest wins: properly named before temporarily named, then the oldest, then
    the smallest id.
    """

    temporarily_named: bool  # by Compose, so it gives way to the container that has the name now
    created: int
    container_id: str


class TopicNames:
    """Gives every container its topic level: the plain level that the template gives, or `<plain level>-<short id>`.

    Of several containers with the same plain level the oldest one has it.

    Not thread-safe: called with the registry's lock held. `allocate` and `release` return the levels that they may
    have changed, by container id. The value is None for a container that must publish nothing: it has Compose's
    temporary name, and another container owns its level.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self._plain: dict[str, str] = {}  # by container id, what the template gives
        self._claims: dict[str, dict[str, _Claim]] = defaultdict(dict)  # by plain level, then by container id

    def allocate(self, container: Container) -> dict[str, str | None]:
        """Record a container's claim to the level that the template gives it; after a rename drop the earlier claim.

        Return the levels that may have changed, by container id: its own, and those of its competitors.
        """
        plain = render(self._template, container, self.shown_name(container))
        temporarily_named = self.base_name(container) != container.name
        changed = {} if self._plain.get(container.id, plain) == plain else self.release(container.id)
        self._plain[container.id] = plain
        self._claims[plain][container.id] = _Claim(temporarily_named, container.created, container.id)
        return changed | self._affected_levels(plain, container.id)

    def release(self, container_id: str) -> dict[str, str | None]:
        """Give up a container's claim. Return the levels that may have changed, by container id."""
        plain = self._plain.pop(container_id, None)
        if plain is None:
            return {}
        del self._claims[plain][container_id]
        return self._affected_levels(plain, container_id)

    def plain_level(self, container_id: str) -> str | None:
        """Return the level that the template gives the container, even if another one owns it; None without a claim."""
        return self._plain.get(container_id)

    def has_claim(self, container_id: str) -> bool:
        """Return whether the container claims a level, whether or not it has one."""
        return container_id in self._plain

    def competitors(self, container: Container) -> set[str]:
        """Return the ids of the other containers that claim the level which this one claims."""
        plain = render(self._template, container, self.shown_name(container))
        return set(self._claims.get(plain, ())) - {container.id}

    def shown_name(self, container: Container) -> str:
        """Return the name in topics and messages: that of the container's label, else `base_name`."""
        return container.agent_labels.name or self.base_name(container)

    def base_name(self, container: Container) -> str:
        """Return the engine's name without Compose's prefix, the short id of this container or of one with a claim."""
        return strip_temporary_prefix(container.name, (container.id, *self._plain))

    def _affected_levels(self, plain: str, changed_id: str) -> dict[str, str | None]:
        """Return the levels of all claimants of `plain`, by container id.

        Containers whose plain level equals one of their extended levels (`<plain>-<short id>`) are included.
        """
        levels = self._levels(plain)
        for container_id in (changed_id, *levels):
            if (extended := _with_short_id(plain, container_id)) in self._claims:
                levels = levels | self._levels(extended)
        return levels

    def _levels(self, plain: str) -> dict[str, str | None]:
        """Return the level of each container that claims `plain`."""
        claims = sorted(self._claims[plain].values())
        if not claims:
            del self._claims[plain]
            return {}
        first, *others = claims
        levels: dict[str, str | None] = {first.container_id: self._first_level(plain, first.container_id)}
        for claim in others:
            levels[claim.container_id] = None if claim.temporarily_named else _with_short_id(plain, claim.container_id)
        return levels

    def _first_level(self, plain: str, container_id: str) -> str:
        """Return the plain level; with the short id if another container's level is, or may become, the same one."""
        shorter, _, short_id = plain.rpartition("-")
        taken = any(topic_level(claimant[:12]) == short_id for claimant in self._claims.get(shorter, ()))
        return _with_short_id(plain, container_id) if taken else plain


def _with_short_id(plain: str, container_id: str) -> str:
    return f"{plain}-{topic_level(container_id[:12])}"
