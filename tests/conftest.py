"""Problems whose answer is known, shared by the core's tests."""

from pathlib import Path

import pytest

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.design import ControlsDesign, PairDesign
from neuronedit.edit import DEFAULT_PLAN
from neuronedit.model import EditModel, fit_edits
from neuronedit.panel import Panel
from neuronedit.scaling import fit_scaling
from tests.known_cells import MARKERS, intensities


@pytest.fixture(scope="session")
def panel() -> Panel:
    return Panel(MARKERS, (5.0,) * len(MARKERS))


@pytest.fixture(scope="session")
def autoencoder() -> Autoencoder:
    return Autoencoder(len(MARKERS), Architecture(hidden=(16, 8), code=4), seed=1).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def model(panel: Panel, autoencoder: Autoencoder) -> EditModel:
    """Two batches' edits to the reference batch "ref", on untrained weights: the algebra needs no training."""
    design = ControlsDesign(batch_column="batch_id", control={"role": "control"}, reference="ref")
    raw = {
        "control ref": intensities(900, 1),
        "control b1": intensities(900, 2, 0.6),
        "control b2": intensities(900, 3, -0.4),
    }
    scaling = fit_scaling(raw.values(), panel.cofactors)
    populations = {name: scaling.standardise(scaling.arcsinh(events)) for name, events in raw.items()}
    pairs = design.edits({name: len(events) for name, events in raw.items()})
    edits = fit_edits(autoencoder, populations, pairs, DEFAULT_PLAN)
    return EditModel(panel, scaling, autoencoder, edits, design, {"events": dict.fromkeys(raw, 900)})


@pytest.fixture(scope="session")
def pair_model(model: EditModel) -> EditModel:
    """A pair design's model."""
    design = PairDesign(source={"condition": "a"}, target={"condition": "b"})
    populations = {
        "source": model.standardised(intensities(900, 4)),
        "target": model.standardised(intensities(900, 5, 0.5)),
    }
    edits = fit_edits(model.autoencoder, populations, design.edits({"source": 900, "target": 900}), DEFAULT_PLAN)
    return EditModel(model.panel, model.scaling, model.autoencoder, edits, design, {"events": {}})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real cells with measured truth, which are not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real cells are not here: {folder.parent.name}/{folder.name} is missing")
    return folder
