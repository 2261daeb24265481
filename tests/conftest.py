"""Problems whose answers are known, small enough to check by eye."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.cells.transforms import Arcsinh
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.plans import NEURONS_THEN_MARKERS, EditConfig
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.chunks import CHUNK
from tests.fitted import untrained

MARKERS = ("CD3", "CD4", "CD8", "CD45", "CD45RA")
COFACTORS = (5.0, 5.0, 5.0, 5.0, 150.0)

PAIR = PairDesign(source={"condition": "untreated"}, target={"condition": "treated"})


@pytest.fixture(autouse=True)
def same_root_logger() -> Iterator[None]:
    """Jobs set up logging for their process; a test must not set it up for the next one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As a worker has: with more threads, sums are made in another order, and small ones wait for each other."""
    torch.set_num_threads(1)


class OneCluster(LoadFileScheduling):
    """Shares files among processes as ``--dist loadfile``; those that use Ray are one file: two clusters starve."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "ray" if _uses_ray(self.config.rootpath / file) else file


@cache
def _uses_ray(file: Path) -> bool:
    return "pytest.mark.ray" in file.read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return OneCluster(config, log) if config.getoption("dist") == "loadfile" else None


SHORT = {"operators.descent": 40, "students.distillation": 300}
"""Steps of gradient descent, by the module that takes them: what most tests ask does not depend on their number."""


def set_steps(steps: Mapping[str, int]) -> dict[str, int]:
    """Set the steps, and give what they were."""
    modules = {name: import_module(f"neuronedit.edits.{name}") for name in steps}
    before = {name: module.N_STEPS for name, module in modules.items()}
    for name, module in modules.items():
        module.N_STEPS = steps[name]
    return before


@pytest.fixture(autouse=True, scope="session")
def whole_steps() -> dict[str, int]:
    """Every test descends in few steps, unless its module asks for ``whole_descent``; gives the steps as they were."""
    return set_steps(SHORT)


@pytest.fixture(scope="module")
def whole_descent(whole_steps: dict[str, int]) -> Iterator[None]:
    """As many steps of gradient descent as users have."""
    set_steps(whole_steps)
    yield
    set_steps(SHORT)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def cells() -> Callable[..., np.ndarray]:
    """Raw intensities as cytometry has them: two kinds of cell, and a spike at zero in every marker."""

    def make(n_events: int = 300, seed: int = 0, gain: float = 1.0, dtype: type = np.float32) -> np.ndarray:
        generator = np.random.default_rng(seed)
        high = generator.random((n_events, 1)) < 0.4
        intensities = gain * generator.lognormal(np.where(high, 5.0, 2.0), 0.5, (n_events, len(MARKERS)))
        intensities[generator.random(intensities.shape) < 0.2] = 0
        return intensities.astype(dtype)

    return make


@pytest.fixture
def autoencoder() -> Autoencoder:
    """Untrained: what is claimed of an edit must hold for any weights."""
    network = Autoencoder(len(MARKERS), Architecture(hidden=(8, 6), code=3), seed=1)
    return network.eval().requires_grad_(False)


@pytest.fixture
def make_model(autoencoder: Autoencoder) -> Callable[..., EditModel]:
    """A model fitted on raw populations; by default one pair design from its two populations."""

    def make(populations, plan=NEURONS_THEN_MARKERS, design=PAIR, facts=None) -> EditModel:
        edit = EditConfig(steps=tuple(plan), n_percentiles=21, serve="teacher")
        panel, train = Panel(MARKERS, COFACTORS), untrained(autoencoder)
        fitted = fit_model(populations, panel, design, network=autoencoder.architecture, edit=edit, train=train)
        return replace(fitted.model, facts=facts or {})

    return make


@pytest.fixture
def pair_model(make_model, cells) -> EditModel:
    return make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, facts={"seed": 3, "x_seen": False})


@pytest.fixture
def controls_model(make_model, cells) -> EditModel:
    """Batches 1 and 2 are led to batch 3."""
    populations = {f"control {batch}": cells(seed=batch, gain=float(batch)) for batch in (1, 2, 3)}
    return make_model(populations, design=ControlsDesign(control={"role": "control"}, reference="3"))


@pytest.fixture
def make_wide_model() -> Callable[..., tuple[EditModel, np.ndarray]]:
    """A model with default networks, which shrinks beyond its support, and events of more than a chunk.

    Events are others than the model's own: none is a percentile, whose last bit would put it in another bin.
    """

    def make(plan, n_networks=1, n_markers=20) -> tuple[EditModel, np.ndarray]:
        generator = np.random.default_rng(3)
        kinds = generator.normal(2, 1.5, (4, n_markers))
        source, target, events = (
            np.clip(np.sinh(kinds[generator.integers(0, 4, n)] + generator.normal(size=(n, n_markers))) * 5, 0, None)
            for n in (1500, 1500, CHUNK + 300)
        )
        seeds = range(1, n_networks + 1)
        networks = tuple(Autoencoder(n_markers, Architecture(), seed).eval().requires_grad_(False) for seed in seeds)
        scaling = fit_scaling([source, target], [Arcsinh(5.0)] * n_markers)
        before, after = (scaling.standardise(scaling.transform(population)) for population in (source, target * 1.5))
        edit = fit_edit("pair", networks, plan, before, after, zeros=scaling.zeros)
        panel = Panel(tuple(f"marker{i}" for i in range(n_markers)), (5.0,) * n_markers)
        shrinking = replace(edit, shrinks=True)
        return EditModel(panel, scaling, networks, {"pair": shrinking}, PAIR), events.astype(np.float32)

    return make
