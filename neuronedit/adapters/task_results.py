"""What a Ray task gave, or why it gave nothing."""

from typing import Any

import ray

from neuronedit.errors import ClusterError, NeuroneditError


def task_result(task: "ray.ObjectRef[Any]", what: str, remedy: str) -> Any:
    """Wait for a task.

    Args:
        task: Started.
        what: What the task's worker did, for the message.
        remedy: What is to be done if it is lost.

    Raises:
        NeuroneditError: The task raised it.
        ClusterError: The worker was lost.
    """
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, NeuroneditError):
            raise error.cause from None
        raise  # a fault of ours: its traceback tells where
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClusterError(f"Ray lost the worker that {what} ({reason}). {remedy}") from error
