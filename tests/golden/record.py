"""Record the golden model and what it makes of events: ``python -m tests.golden.record``, for a new format alone.

Its results are what later code is held to. It is not run by the tests.
"""

import json
import shutil
from dataclasses import replace

import numpy as np

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.edits.auto import CANDIDATES
from neuronedit.edits.edit import PRESETS, fit_edit
from neuronedit.edits.steps import EditStep, Fitting
from neuronedit.edits.support import Support
from neuronedit.model.edit_model import EditModel
from neuronedit.model.files import load_model, save_model
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import train
from tests.golden.cases import EVENTS, HASHES, MODEL, VALUES, cases, digest, edited, kept, machine

MARKERS = ("CD3", "CD4", "CD8", "CD45", "CD45RA")
COFACTORS = (5.0, 5.0, 5.0, 5.0, 150.0)
TRAINING = TrainingPlan(epochs=30, minibatch=128)

PLANS = {
    "step": (EditStep(operator="step"), EditStep(layer="visible", operator="step")),
    "neighbours": (EditStep(operator="neighbours", n_neighbours=10),),
    "visible neighbours": (EditStep(layer="visible", operator="neighbours"),),
    "plain strata": (EditStep(operator="strata", form="plain"),),
    "transport of neurons": (EditStep(layer="encoder.2", operator="transport"),),
    "three steps": (
        EditStep(operator="neighbours", n_neighbours=10),
        EditStep(layer="decoder.1", operator="step"),
        EditStep(layer="visible"),
    ),
    **PRESETS,
    **CANDIDATES,
}


def populations() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw source, target and other events: two kinds of cell, and a spike at zero in every marker."""
    generator = np.random.default_rng(3)

    def drawn(n_events: int, gain: np.ndarray) -> np.ndarray:
        high = generator.random((n_events, 1)) < 0.4
        shape = (n_events, len(MARKERS))
        found = np.round(gain * generator.lognormal(np.where(high, 5.0, 2.0), 0.5, shape), 1)
        found[generator.random(shape) < 0.2] = 0
        return found.astype(np.float32)

    source, target, events = drawn(240, np.ones(5)), drawn(240, np.array([2, 1, 0.5, 1.5, 3])), drawn(2100, np.ones(5))
    events[-6:] = [[0, -0.0, -1, -1e4, 1e-30], [1e30, 3e5, 3, 1e-3, 26e4], [-1e30, 0, 0, 7, 1e10], *[[1e33] * 5] * 3]
    events[:6] *= 100
    return source, target, events


def golden_model(source: np.ndarray, target: np.ndarray) -> EditModel:
    """Two networks, and an edit of each plan for either of them."""
    scaling = fit_scaling([source, target], COFACTORS)
    before, after = (scaling.standardise(scaling.arcsinh(population)) for population in (source, target))
    networks = []
    for seed in (1, 2):
        network = Autoencoder(len(MARKERS), Architecture(hidden=(12, 12), code=12), seed)
        train(network, InMemory.from_populations({"source": before, "target": after}, TRAINING), TRAINING)
        networks.append(network.eval().requires_grad_(False))
    support = Support.fit(before[:60], after[:60], seed=0)
    edits = {}
    for place, (name, plan) in enumerate(PLANS.items()):
        number = place % 2
        edit = fit_edit(
            name, networks[number : number + 1], plan, before, after, zeros=scaling.zeros, fitting=Fitting(21)
        )
        members = tuple(replace(member, autoencoder=number) for member in edit.members)
        edits[name] = replace(edit, members=members, support=support, target_percentiles=edit.target_percentiles[::20])
    design = PairDesign(source={"condition": "untreated"}, target={"condition": "treated"})
    return EditModel(Panel(MARKERS, COFACTORS), scaling, tuple(networks), edits, design, {"made": "to be kept"})


def main() -> None:
    source, target, events = populations()
    shutil.rmtree(MODEL, ignore_errors=True)
    save_model(golden_model(source, target), MODEL)
    np.save(EVENTS, events)
    found = {name: edited(load_model(MODEL), case) for name, case in cases(load_model(MODEL), events)}
    values = {f"{name}/{kind}": kept(array) for name, arrays in found.items() for kind, array in arrays.items()}
    np.savez_compressed(VALUES, **values)
    hashes = {name: digest(arrays) for name, arrays in found.items()}
    HASHES.write_text(json.dumps({"machine": machine(), "hashes": hashes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
