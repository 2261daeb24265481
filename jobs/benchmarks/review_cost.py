"""The cost of the whole review of one edit: 40 markers, 64 neurons, three populations."""

from time import monotonic, process_time

import pandas as pd

from neuronedit.autoencoder import Architecture
from neuronedit.review.edit_review import LabelColumns, review_edit
from neuronedit.review.neurons import Neurons

from .planted import SHIFT, planted_cells, planted_model
from .planted_training import trained_autoencoder

WIDE = Architecture(hidden=(200, 100), code=64)

COLUMNS = LabelColumns(cell_type="type", donor="donor", sample="sample", condition="condition")

N_TRAINED, N_EPOCHS = 2_000, 20

DRAWN = "all figures"


def measure_cost(n_events: int) -> tuple[pd.DataFrame, float]:
    """Review a trained edit of so many events per population, and draw all figures.

    Returns:
        A row for each part, and for the figures: part, cpu_s; and all seconds on the clock. Training is not counted.
    """
    source, target = planted_cells(n_events, 0, donor_gap=0.1), planted_cells(n_events, 1, shift=SHIFT, donor_gap=0.1)
    others = {"unseen types": planted_cells(n_events, 2, unseen=True, donor_gap=0.1).labelled}
    networks = [trained_autoencoder(N_TRAINED, N_EPOCHS, seed, architecture=WIDE) for seed in range(3)]
    model = planted_model(source, target, autoencoder=networks[0])
    started = monotonic()
    subject = Neurons.from_model(model, "pair", source.labelled, target.labelled, others)
    reviewed = review_edit("pair", subject, model, COLUMNS, networks[1:])
    drawing = process_time()
    for part in reviewed.parts:
        for figure in part.drawings:
            figure.draw()
    figures = pd.DataFrame({"part": [DRAWN], "cpu_s": [process_time() - drawing]})
    return pd.concat([reviewed.cost_table(), figures], ignore_index=True), monotonic() - started
