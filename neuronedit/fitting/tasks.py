"""Independent tasks: calls of one function with each of several items, in this process or on a cluster."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TASK_REMEDY = "No model was registered: run again, or lower sample.events_per_population if memory ran out."
"""The remedy named in messages on lost tasks of a training."""


class RunAll(Protocol):
    """Calls a function once for each item; hands back results in the items' order, each as soon as it is there."""

    def __call__(
        self, function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = ""
    ) -> Iterator[Result]:
        """Run all tasks.

        Args:
            function: The function to call; data that all tasks share is bound to it (``functools.partial``).
            items: The items, by the task's deed in the past tense, for messages: ``fitted the edit 'B'``.
            remedy: The remedy if a task is lost, for the message.
        """


def one_after_another(
    function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = ""
) -> Iterator[Result]:
    """Run tasks in this process, which cannot lose any (see ``RunAll``).

    Example:
        >>> list(one_after_another(len, {"counted 'CD4'": "CD4", "counted 'CD45'": "CD45"}))
        [3, 4]
    """
    return map(function, items.values())
