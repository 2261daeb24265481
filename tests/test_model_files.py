import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from neuronedit.edit import EditStep
from neuronedit.errors import ModelError, OutputError
from neuronedit.model import EditModel, fit_edits
from neuronedit.model_files import load_model, model_digest, save_model
from tests.known_cells import intensities


@pytest.fixture
def saved(model: EditModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


def test_a_loaded_model_computes_the_same_bits(model: EditModel, saved: Path) -> None:
    raw = intensities(500, 8)
    loaded = load_model(saved)
    for batch in model.edits:
        assert loaded.apply(raw, batch).tobytes() == model.apply(raw, batch).tobytes()
    assert (loaded.panel, loaded.design, loaded.facts) == (model.panel, model.design, model.facts)


@pytest.mark.parametrize("operator", ["step", "neighbours"])
def test_every_operator_survives_saving(model: EditModel, tmp_path: Path, operator: str) -> None:
    populations = {
        f"control {name}": model.standardised(intensities(200, seed)) for seed, name in enumerate(["ref", "b"])
    }
    pairs = model.design.edits(dict.fromkeys(populations, 200))
    plan = [EditStep(operator=operator, form="plain", n_neighbours=7)]
    edits = fit_edits(model.autoencoder, populations, pairs, plan)
    other = EditModel(model.panel, model.scaling, model.autoencoder, edits, model.design)
    save_model(other, tmp_path / "other")
    raw = intensities(100, 5)
    assert load_model(tmp_path / "other").apply(raw, "b").tobytes() == other.apply(raw, "b").tobytes()


def test_the_same_model_has_the_same_digest(model: EditModel, saved: Path, tmp_path: Path) -> None:
    assert save_model(load_model(saved), tmp_path / "again") == model_digest(saved)


def test_a_model_is_two_files_without_pickle(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == ["model.json", "model.safetensors"]


def test_an_existing_folder_is_refused_and_untouched(model: EditModel, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="the model's folder exists"):
        save_model(model, tmp_path / "model")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "mine.txt"]


def test_a_missing_file_is_named(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"not a neuronedit model \(No such file.*model\.safetensors"):
        load_model(saved)


def test_another_models_weights_are_refused(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + np.float32(1).tobytes())
    with pytest.raises(ModelError, match=r"model\.safetensors does not belong to model\.json.*one artefact"):
        load_model(saved)


def test_damaged_json_is_named(saved: Path) -> None:
    (saved / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json is damaged, not valid JSON"):
        load_model(saved)


def test_a_newer_format_is_refused(saved: Path) -> None:
    facts = json.loads((saved / "model.json").read_text())
    (saved / "model.json").write_text(json.dumps(facts | {"format": 2}))
    with pytest.raises(ModelError, match="expected model format 1, found 2"):
        load_model(saved)


def test_missing_facts_are_named(saved: Path) -> None:
    facts = json.loads((saved / "model.json").read_text())
    del facts["panel"]
    (saved / "model.json").write_text(json.dumps(facts))
    with pytest.raises(ModelError, match=r"incomplete model \(KeyError: 'panel'\)"):
        load_model(saved)


def test_a_copied_folder_is_the_same_model(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    assert model_digest(tmp_path / "copy") == model_digest(saved)
