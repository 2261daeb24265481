"""Functions of tensors, called with arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from neuronedit.network.autoencoder import tensor


def of_arrays(function: Callable[..., Any], *given: Any) -> Any:
    """What a function of tensors gives for arrays: an array, or several."""
    found = function(*(tensor(value) if isinstance(value, np.ndarray) else value for value in given))
    return tuple(each.numpy() for each in found) if isinstance(found, tuple) else found.numpy()
