"""TODO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

ENABLE_LABEL = "usage-agent.enable"  # the label that outranks the configuration

_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class ContainerFilter:
    """Which containers the agent looks after: globs on names, outranked by a container's own label."""

    include: Sequence[str]
    exclude: Sequence[str]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Say whether a container is looked after. A label that is neither yes nor no is as good as none."""
        enabled = _WORDS.get(labels.get(ENABLE_LABEL, "").strip().lower())
        if enabled is not None:
            return enabled
        return any(fnmatchcase(name, glob) for glob in self.include) and not any(
            fnmatchcase(name, glob) for glob in self.exclude
        )
