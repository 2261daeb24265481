"""Record the golden model of the format that is written: ``python -m tests.golden.record``, for a new format alone.

Its results are what later code is held to. It is not run by the tests.
"""

import json
import shutil
from dataclasses import replace

import numpy as np

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.cells.transforms import Arcsinh, Linear, Logicle
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep, Fitting
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import PRESETS
from neuronedit.edits.students.distillation import distil
from neuronedit.fitting.students import with_student
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import MODEL_FORMAT, load_model, save_model
from neuronedit.network.autoencoder import VISIBLE, Architecture, Autoencoder, tensor
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import train
from tests.golden.cases import EVENTS, HASHES, VALUES, cases, digest, edited, golden_folder, kept, machine

PANEL = Panel(
    ("CD3", "CD4", "CD8", "CD45", "score"), (5.0, Arcsinh(150.0), Logicle(), Logicle(1e4, 0.3, 4, 0.2), Linear())
)
TRAINING = TrainingPlan(epochs=30, minibatch=128)

PLANS = {
    "neighbours": (EditStep(operator="neighbours", n_neighbours=10),),
    **{name: PRESETS[name] for name in ("paper", "neurons-then-markers", "strata", "transport", "trained")},
}


STUDENT = "strata by a student"


def populations() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw source, target and other events: two kinds of cell, a spike at zero, and values below zero."""
    generator = np.random.default_rng(3)

    def drawn(n_events: int, gain: np.ndarray) -> np.ndarray:
        high = generator.random((n_events, 1)) < 0.4
        shape = (n_events, PANEL.n_markers)
        found = gain * generator.lognormal(np.where(high, 5.0, 2.0), 0.5, shape)
        found[:, 2:4] += 5 * generator.standard_normal((n_events, 2))
        found[:, 4] = np.log(found[:, 4])
        found = np.round(found, 1)
        found[generator.random(shape) < 0.2] = 0
        return found.astype(np.float32)

    source, target, events = drawn(240, np.ones(5)), drawn(240, np.array([2, 1, 0.5, 1.5, 3])), drawn(300, np.ones(5))
    events[-2:] = [[0, -0.0, -1, -1e4, -1e-30], [1e30, 3e5, 262144, 1e8, 26.0]]
    return source, target, events


def golden_model(source: np.ndarray, target: np.ndarray) -> EditModel:
    """One small network, an edit of each plan, and one of them by its student."""
    scaling = fit_scaling([source, target], PANEL.transforms)
    before, after = (scaling.standardise(scaling.transform(population)) for population in (source, target))
    network = Autoencoder(PANEL.n_markers, Architecture(hidden=(8,), code=6), 1)
    train(network, InMemory.from_populations({"source": before, "target": after}, TRAINING), TRAINING)
    networks = (network.eval().requires_grad_(False),)
    edits = {
        name: fit_edit(name, networks, plan, before, after, zeros=scaling.zeros, fitting=Fitting(21))
        for name, plan in PLANS.items()
    }
    judged = with_student(edits["strata"], networks, PairEvents(before, after), None, seed=0)
    spread, led_to = (judged.spikes.spread_evenly(events) for events in (before, after))
    strata = edits["strata"].members[0].steps[0].shifts[VISIBLE]
    student = distil(lambda events: strata.shift_at(tensor(events)).numpy(), spread, led_to, judged.spikes.ranges, 0)
    edits[STUDENT] = replace(judged, student=student)  # whether it passes or not
    design = PairDesign(source={"condition": "untreated"}, target={"condition": "treated"})
    return EditModel(PANEL, scaling, networks, edits, design, {"made": "to be kept"})


def main() -> None:
    source, target, events = populations()
    folder = golden_folder(MODEL_FORMAT)
    shutil.rmtree(folder, ignore_errors=True)
    save_model(golden_model(source, target), folder)
    np.save(folder / EVENTS, events)
    model = load_model(folder)
    found = {name: edited(model, case) for name, case in cases(model, events)}
    values = {f"{name}/{kind}": kept(array) for name, arrays in found.items() for kind, array in arrays.items()}
    np.savez_compressed(folder / VALUES, **values)
    hashes = {name: digest(arrays) for name, arrays in found.items()}
    (folder / HASHES).write_text(json.dumps({"machine": machine(), "hashes": hashes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
