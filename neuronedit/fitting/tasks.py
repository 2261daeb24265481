"""Tasks that do not need each other: a call of one function for each item, here or on a cluster."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TASK_REMEDY = "No model was registered: run again, or lower sample.events_per_population if memory ran out."
"""What helps where a task of a training is lost."""


class RunAll(Protocol):
    """Calls a function once for each item; hands back results in the items' order, each as soon as it is there."""

    def __call__(
        self, function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = ""
    ) -> Iterator[Result]:
        """Run all tasks.

        Args:
            function: What is called; data that all tasks share is bound to it (``functools.partial``).
            items: By what the task does, in the past tense, for a message: ``fitted the edit 'B'``.
            remedy: What helps where a task is lost, for the message.
        """


def one_after_another(
    function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = ""
) -> Iterator[Result]:
    """Run tasks in this process, where none can be lost (see ``RunAll``)."""
    return map(function, items.values())
