"""A peer's training time in its own environment: ``python time_peer_training.py CALL FOLDER``, without neuronedit.

FOLDER/given.npz has source and target: (n, n_markers) float32 raw intensities. The last line on stdout is the
processor's seconds of ``train`` for ``EPOCHS`` epochs on one thread, with the peer's default settings; preparing the
data and making the model are not in it.
"""

import logging
import sys
import warnings
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

EPOCHS = 2

COFACTOR = 5.0


def cells(given: Any) -> Any:
    """Both populations on the arcsinh scale, each marker from 0 to 1, as CYTOVI asks for."""
    from anndata import AnnData

    counts = [len(given["source"]), len(given["target"])]
    values = np.arcsinh(np.concatenate([given["source"], given["target"]]) / COFACTOR)
    low, high = values.min(axis=0), values.max(axis=0)
    found = AnnData((values - low) / (high - low))
    found.obs_names = [str(row) for row in range(sum(counts))]
    found.obs["population"] = np.repeat(["source", "target"], counts)
    found.obs["cell_type"] = "cell"
    found.layers["scaled"] = found.X.copy()
    return found


def cytovi(events: Any) -> Any:
    """scvi-tools' model of cytometry."""
    from scvi.external import CYTOVI

    CYTOVI.setup_anndata(events, layer="scaled", batch_key="population")
    return CYTOVI(events)


def scgen(events: Any) -> Any:
    """An autoencoder whose code is shifted by a mean difference; its authors keep it in pertpy now."""
    from pertpy.tools import Scgen

    Scgen.setup_anndata(events, batch_key="population", labels_key="cell_type")
    return Scgen(events)


CALLS = {call.__name__: call for call in (cytovi, scgen)}


def main() -> None:
    """Print the seconds."""
    call, folder = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with np.load(folder / "given.npz") as given:
        model = CALLS[call](cells(given))
    import torch

    torch.set_num_threads(1)
    started = process_time()
    model.train(max_epochs=EPOCHS, accelerator="cpu", devices=1)
    print(process_time() - started)


if __name__ == "__main__":
    main()
