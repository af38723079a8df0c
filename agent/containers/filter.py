"""Which containers the agent publishes: the settings `engine.include` and `engine.exclude`, and a label. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.containers.labels import parse_labels


@dataclass(frozen=True, slots=True)
class ContainerFilter:
    """Selects containers by globs on their names, case-sensitive, and by their own label."""

    include: Sequence[str]
    exclude: Sequence[str]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a container is selected.

        If its label `usage-agent.enable` is true or false, the label decides. Else the globs do: at least one of
        `include` and none of `exclude` must match the whole name.
        """
        enabled = parse_labels(labels).enabled
        if enabled is not None:
            return enabled
        return any(fnmatchcase(name, glob) for glob in self.include) and not any(
            fnmatchcase(name, glob) for glob in self.exclude
        )
