"""Where something came from, link by link: as a tree for people, and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Trail:
    """One link, and those that it came from.

    Attributes:
        kind: What it is: ``output``, ``input``, ``model``, ``run``, ``data``.
        title: Which, for people.
        facts: What is known of it; a value that is a list is told item by item.
        problems: What is broken here, a sentence each: where it was expected, what was found.
        origins: What it came from.
    """

    kind: str
    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    origins: tuple["Trail", ...] = ()

    @property
    def broken(self) -> list[str]:
        """Every problem along the trail."""
        return [*self.problems, *(problem for origin in self.origins for problem in origin.broken)]

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "kind": self.kind,
            "title": self.title,
            "facts": dict(self.facts),
            "problems": list(self.problems),
            "origins": [origin.to_json() for origin in self.origins],
        }

    def tree(self) -> str:
        """All of it, a line for each fact, origins indented below what came from them."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.kind} {self.title}"
        told = [*self._told(), *(f"!! {problem}" for problem in self.problems)]
        bar = "│" if self.origins else " "
        yield from (f"{bar}    {line}" for line in told)
        for index, origin in enumerate(self.origins):
            last = index == len(self.origins) - 1
            first, *rest = origin._lines()
            yield f"{'└─' if last else '├─'} {first}"
            yield from (f"{' ' if last else '│'}  {line}" for line in rest)

    def _told(self) -> Iterator[str]:
        for name, value in self.facts.items():
            if isinstance(value, list):
                yield from (f"{name}: {item}" for item in value)
            elif value not in (None, ""):
                yield f"{name}: {value}"
