"""Block winner-take-all in the code: of each block of neighbouring neurons only the largest activation is kept.

An event then has a pattern of winners beside its activations. Fewer neurons carry an event, so the code needs more of
them: on planted cells (40 markers, 4,000 events a population, one hidden layer of 64, means of 6 networks and cells),
an edit by 1.5 had an error for each cell, on the markers that it moves, of 0.162 without blocks, 0.185 with blocks of 2
and 0.241 with blocks of 4 where the code had 64 neurons, and of 0.183, 0.171 and 0.209 where it had 128.

Source: Srivastava, Masci, Kazerounian, Gomez, Schmidhuber 2013, "Compete to Compute" (NeurIPS 26), equation 1.
"""

import torch
from torch import Tensor

from neuronedit.network.autoencoder import Autoencoder


def compete(autoencoder: Autoencoder, block: int) -> None:
    """Let the neurons of an autoencoder's code compete, in place; a code that is decoded is taken as it is."""
    code = autoencoder.layers[len(autoencoder.architecture.hidden)]
    code.register_forward_hook(lambda layer, markers, activations: winners(activations, block))


def winners(code: Tensor, block: int) -> Tensor:
    """The code with all but the largest activation of each block set to 0; of equal ones the first wins.

    Args:
        code: (n_events, n_neurons) float32; n_neurons is a multiple of the block.
        block: Neurons 0 … block − 1 are the first, and so on.

    Returns:
        (n_events, n_neurons); winners keep their bits, and their gradient.
    """
    blocks = code.unflatten(-1, (-1, block))  # (n_events, n_blocks, block)
    winner = blocks.argmax(-1, keepdim=True)
    return torch.zeros_like(blocks).scatter(-1, winner, blocks.gather(-1, winner)).flatten(-2)
