"""Competition in the code: of each block of neighbouring neurons only the most active one speaks.

An event then has a pattern of winners beside its activations. Fewer neurons carry an event, so the code needs more of
them: on planted cells (40 markers, 4,000 events a population, one hidden layer of 64, means of 6 networks and cells),
an edit by 1.5 had an error for each cell, on the markers that it moves, of 0.162 without blocks, 0.185 with blocks of 2
and 0.241 with blocks of 4 where the code had 64 neurons, and of 0.183, 0.171 and 0.209 where it had 128.

Source: Srivastava, Masci, Kazerounian, Gomez, Schmidhuber 2013, "Compete to Compute" (NeurIPS 26), equation 1.
"""

from typing import Final, Literal

import torch
from torch import Tensor

Block = Literal[1, 2, 4]
"""Neurons that compete with one another; 1: none does."""

LARGE: Final = 4
"""From blocks of this size on, three quarters of the code are silent for every event."""


def winners(code: Tensor, block: int) -> Tensor:
    """The code with all but the largest activation of each block set to 0; of equal ones the first wins.

    Args:
        code: (n_events, n_neurons) float32; n_neurons is a multiple of the block.
        block: Neurons 0 … block − 1 are the first, and so on.

    Returns:
        (n_events, n_neurons); winners keep their bits, and their gradient.
    """
    if block == 1:
        return code
    blocks = code.unflatten(-1, (-1, block))  # (n_events, n_blocks, block)
    winner = blocks.argmax(-1, keepdim=True)
    return torch.zeros_like(blocks).scatter(-1, winner, blocks.gather(-1, winner)).flatten(-2)


def warning(block: int) -> str:
    """What must be said of a code with such blocks; empty where nothing must."""
    if block < LARGE:
        return ""
    return (
        f"Of every {block} neurons of the code {block - 1} are silent for each event, and an edit shifts neurons that "
        "are silent for most events by percentiles that are mostly zeros: expect a worse reconstruction, and effects "
        "that are missed. Use blocks of 2, or none."
    )
