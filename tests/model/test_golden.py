"""A model of each format, saved once, edits as it did when it was saved."""

import json
from functools import cache

import numpy as np
import pytest
import safetensors.numpy
import torch

from neuronedit.model.pipeline.device import Transfers
from neuronedit.model.saved.files import ARRAYS, FACTS, MODEL_FORMAT, load_model, model_contents, save_model
from neuronedit.model.saved.readers import READERS
from tests.golden.cases import EVENTS, HASHES, VALUES, Case, cases, digest, edited, golden_folder, kept, machine

ROUNDING = {"after": 1e-4, "scores": 1e-4}
"""Of edited markers, standard deviations: sums in another order are off by float32's last bits (1e-7), which grow by up
to some hundreds where two percentiles nearly touch, as the edit is steep there."""

BACK = 2e-3
"""Of intensities: ``ROUNDING`` times spreads of up to 2, and sinh, whose relative slope is up to the arcsinh of 10."""

MODELS = {number: load_model(golden_folder(number)) for number in READERS}
RECORDED = {number: json.loads((golden_folder(number) / HASHES).read_text()) for number in READERS}
CASES: dict[tuple[int, str], Case] = {
    (number, name): case
    for number, model in MODELS.items()
    for name, case in cases(model, np.load(golden_folder(number) / EVENTS))
}
every_case = pytest.mark.parametrize(("number", "name"), CASES, ids=lambda given: str(given))


@cache
def found(number, name):
    return edited(MODELS[number], CASES[number, name])


@cache
def recorded(number):
    with np.load(golden_folder(number) / VALUES) as values:
        return dict(values)


def test_every_recorded_case_is_edited():
    assert list(CASES) == [(number, name) for number, found in RECORDED.items() for name in found["hashes"]]


class OnGpu(torch.Tensor):
    """A tensor in the processor's memory that says that it is in a GPU's: it is computed with a GPU's kernels."""

    is_cuda = True


@every_case
def test_values_are_those_recorded(number, name):
    check_values(name, found(number, name), recorded(number))


@every_case
def test_so_they_are_with_a_gpus_kernels(number, name, monkeypatch):
    send = Transfers.send
    monkeypatch.setattr(Transfers, "send", lambda *given: send(*given).as_subclass(OnGpu))
    check_values(name, edited(MODELS[number], CASES[number, name]), recorded(number))


def check_values(name, edited, recorded):
    for kind, array in edited.items():
        expected = recorded[f"{name}/{kind}"]
        assert array.dtype == expected.dtype
        close = {"atol": ROUNDING[kind], "rtol": 1e-5} if kind in ROUNDING else {"atol": BACK, "rtol": BACK}
        off = ~np.isclose(kept(array).astype(np.float64), expected.astype(np.float64), **close)
        if np.issubdtype(expected.dtype, np.integer):
            off &= np.abs(kept(array).astype(np.float64) - expected) > 1  # a rounding apart, the next whole number
        # One event within rounding of a bin's edge, or between two landmarks, may go the other way.
        assert np.atleast_2d(off.T).any(axis=0).sum() <= 1, (name, kind)


@every_case
def test_bits_are_those_recorded_where_the_processor_is_the_same(number, name):
    if machine() != RECORDED[number]["machine"]:
        pytest.skip(f"recorded on {RECORDED[number]['machine']}")
    assert digest(found(number, name)) == RECORDED[number]["hashes"][name]


def test_a_model_is_saved_to_the_bytes_that_it_was_read_from(tmp_path):
    save_model(MODELS[MODEL_FORMAT], tmp_path / "model")
    assert model_contents(tmp_path / "model") == model_contents(golden_folder(MODEL_FORMAT))


def test_a_model_of_format_3_is_saved_in_format_5_with_all_that_it_held(tmp_path):
    save_model(MODELS[3], tmp_path / "model")
    before, after = (model_parts(folder) for folder in (golden_folder(3), tmp_path / "model"))
    # The cofactors are in the facts alone, as parameters of the panel's transforms.
    cofactors = before["arrays"].pop("scaling.cofactors")
    assert before["facts"]["panel"].pop("cofactors") == cofactors.tolist()
    transforms = [{"name": "arcsinh", "cofactor": cofactor} for cofactor in cofactors.tolist()]
    assert after["facts"]["panel"].pop("transforms") == transforms
    assert (before["facts"].pop("format"), after["facts"].pop("format")) == (3, 5)
    del before["facts"]["arrays_sha256"], after["facts"]["arrays_sha256"]
    del before["facts"]["architecture"]["competitive"]  # recorded by older versions; 1 is none
    for edit in before["facts"]["edits"].values():
        assert edit.pop("choice") is None
        edit["errors"] = None
    assert after["facts"] == before["facts"]
    assert after["arrays"].keys() == before["arrays"].keys()
    assert all(after["arrays"][name].tobytes() == array.tobytes() for name, array in before["arrays"].items())


def model_parts(folder):
    contents = model_contents(folder)
    return {"facts": json.loads(contents[FACTS]), "arrays": safetensors.numpy.load(contents[ARRAYS])}
