import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronedit.cells.panel import Panel
from neuronedit.edits.operators.table import EditStep
from neuronedit.errors import ModelError, OutputError
from neuronedit.model.saved import files as model_files
from neuronedit.model.saved.files import MODEL_FORMAT, load_model, model_digest, save_model
from neuronedit.model.saved.readers import READERS
from neuronedit.network.autoencoder import Architecture
from tests.golden.cases import golden_folder


@pytest.fixture
def folder(pair_model, tmp_path) -> Path:
    save_model(pair_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def change_facts(folder):
    def change(**changes):
        facts = json.loads((folder / "model.json").read_text())
        facts = {key: value for key, value in (facts | changes).items() if value is not None}
        (folder / "model.json").write_text(json.dumps(facts))

    return change


PLANS = [
    [EditStep(operator="step")],
    [EditStep(operator="linear", form="plain")],
    [EditStep(operator="neighbours", n_neighbours=10), EditStep(layer="visible")],
    [EditStep(operator="strata", n_strata=3), EditStep(layer="visible", operator="strata", n_strata=2, from_events=9)],
]


@pytest.mark.parametrize("plan", PLANS, ids=["step", "plain", "neighbours", "strata"])
def test_a_loaded_model_is_the_saved_one_bit_for_bit(make_model, cells, tmp_path, plan):
    model = make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, plan)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    saved_arrays, loaded_arrays = model_files._arrays(model), model_files._arrays(loaded)
    assert saved_arrays.keys() == loaded_arrays.keys()
    assert all(saved_arrays[name].tobytes() == loaded_arrays[name].tobytes() for name in saved_arrays)
    assert loaded.apply(cells(seed=3), "pair").tobytes() == model.apply(cells(seed=3), "pair").tobytes()
    assert loaded.reconstruct(cells()).tobytes() == model.reconstruct(cells()).tobytes()


def test_roles_are_kept_with_the_panel_and_a_panel_without_any_is_written_as_ever(pair_model, folder, tmp_path):
    assert set(json.loads((folder / "model.json").read_text())["panel"]) == {"markers", "transforms"}
    first, second, *_ = pair_model.panel.markers
    roles = {first: "lineage", second: "state", "beads": "ignore"}
    panel = Panel(pair_model.panel.markers, pair_model.panel.transforms, roles)
    save_model(replace(pair_model, panel=panel), tmp_path / "roles")
    assert load_model(tmp_path / "roles").panel.roles == roles
    facts = json.loads((tmp_path / "roles" / "model.json").read_text())
    assert facts["panel"]["roles"] == roles
    for wrong, told in (
        ({first: "linage"}, "panel.roles"),
        ({"CD99": "state"}, "'CD99' has the role 'state' and is not"),
    ):
        changed = facts | {"panel": facts["panel"] | {"roles": wrong}}
        (tmp_path / "roles" / "model.json").write_text(json.dumps(changed))
        with pytest.raises(ModelError, match=told):
            load_model(tmp_path / "roles")


def test_a_loaded_model_knows_all_that_the_saved_one_knew(controls_model, tmp_path):
    save_model(controls_model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.panel == controls_model.panel
    assert loaded.design == controls_model.design
    assert loaded.facts == controls_model.facts
    assert {name: [step.plan for step in edit.members[0].steps] for name, edit in loaded.edits.items()} == {
        name: [step.plan for step in edit.members[0].steps] for name, edit in controls_model.edits.items()
    }


@pytest.mark.parametrize("older", [{}, {"competitive": 1}])
def test_a_model_that_records_that_its_code_does_not_compete_is_loaded(folder, change_facts, older):
    change_facts(architecture={"hidden": [8, 6], "code": 3} | older)
    assert load_model(folder).autoencoder.architecture == Architecture(hidden=(8, 6), code=3)


def test_a_model_whose_code_competes_is_refused(folder, change_facts):
    change_facts(architecture={"hidden": [8, 6], "code": 3, "competitive": 4})
    message = (
        f"^{folder}: model.json: expected a code whose neurons do not compete, found architecture.competitive = 4. Use "
        r"the neuronedit that wrote the model, or train it again without autoencoder\.competitive\.$"
    )
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_a_loaded_model_routes_batches_as_the_saved_one_did(controls_model, cells, tmp_path):
    save_model(controls_model, tmp_path / "model")
    batches = [3, 1, 2]
    saved, done, _ = controls_model.transform(cells(3), batches)
    loaded, loaded_done, _ = load_model(tmp_path / "model").transform(cells(3), batches)
    assert loaded.tobytes() == saved.tobytes()
    assert loaded_done.tolist() == done.tolist()


def test_the_digest_is_the_same_on_every_save(controls_model, tmp_path):
    first = save_model(controls_model, tmp_path / "first")
    second = save_model(controls_model, tmp_path / "second")
    again = save_model(load_model(tmp_path / "first"), tmp_path / "again")
    assert first == second == again == model_digest(tmp_path / "again")


def test_the_digest_tells_models_apart_by_one_bit_of_one_array(pair_model, tmp_path):
    first = save_model(pair_model, tmp_path / "first")
    pair_model.scaling.means[0] = np.nextafter(pair_model.scaling.means[0], np.float32(9))
    assert save_model(pair_model, tmp_path / "second") != first


def test_a_model_is_two_files_and_no_pickle(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    header = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    json.loads((folder / "model.safetensors").read_bytes()[8 : 8 + header])
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_makes_the_folders_above(pair_model, tmp_path):
    save_model(pair_model, tmp_path / "models" / "today" / "model")
    assert load_model(str(tmp_path / "models" / "today" / "model")).panel == pair_model.panel


def test_an_existing_folder_is_never_overwritten(pair_model, folder):
    before = (folder / "model.json").read_bytes()
    with pytest.raises(OutputError, match=r"model: the model's folder exists\. Choose another name, or remove it"):
        save_model(pair_model, folder)
    assert (folder / "model.json").read_bytes() == before


def test_a_save_that_fails_leaves_nothing_behind(pair_model, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(pair_model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["model.json", "model.safetensors"])
def test_a_missing_file_is_told(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(
        ModelError,
        match=rf"not a neuronedit model \(No such file or directory: .*{missing}\)\. "
        r"Expected a folder with model.json and model.safetensors",
    ):
        load_model(folder)


@pytest.mark.parametrize("content", [b"{not json", b"", b"\xff\xfe\x00"], ids=["text", "empty", "binary"])
def test_a_model_json_that_is_not_json_is_told(folder, content):
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.json: damaged, not valid JSON \(.*\)\. Restore the model's folder"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "found"), [("[]", "None"), ("{}", "None"), ('{"format": 2}', "2"), ('{"format": [4]}', "list of 1")]
)
def test_another_format_is_told(folder, content, found):
    (folder / "model.json").write_text(content)
    with pytest.raises(
        ModelError, match=rf"expected model format 3, 4 or 5, found {found}\. Use the neuronedit that wrote"
    ):
        load_model(folder)


def test_every_format_that_can_be_read_has_a_golden_model_and_the_newest_is_written():
    assert max(READERS) == MODEL_FORMAT
    for number in READERS:
        facts = json.loads((golden_folder(number) / "model.json").read_text())
        assert facts["format"] == number
        assert load_model(golden_folder(number)).panel.markers == tuple(facts["panel"]["markers"])


def test_a_transform_that_is_not_known_is_told(folder, change_facts):
    change_facts(panel={"markers": ["CD3"], "transforms": [{"name": "biexp"}]})
    message = r"model: there is no transform 'biexp'; expected one of .* Or use the neuronedit that wrote the model\.$"
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_damaged_arrays_are_told(folder):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"does not belong to model.json beside it \(SHA-256 differs\).*restore both"):
        load_model(folder)


def test_arrays_of_another_model_are_told(folder, make_model, cells, tmp_path):
    save_model(make_model({"source": cells(seed=5), "target": cells(seed=6)}), tmp_path / "other")
    (folder / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"does not belong to model.json beside it"):
        load_model(folder)


@pytest.mark.parametrize("key", ["arrays_sha256", "panel", "architecture", "design", "edits", "facts"])
def test_a_model_json_that_lacks_a_part_is_told(folder, change_facts, key):
    change_facts(**{key: None})
    with pytest.raises(
        ModelError, match=rf"model\.json: incomplete model \({key}: Field required\)\. Restore the model's"
    ):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": {"hidden": [8], "code": 3}},
            r"holds 'autoencoders\.0\.layers\.4\.bias', .*and 1 more, which",
        ),
        (
            {"architecture": {"hidden": [8, 6], "code": 4}},
            r"'autoencoders\.0\.layers\.2\.weight' has the shape \(3, 6\); ",
        ),
        ({"edits": ["pair"]}, r"incomplete model \(edits: Input should be a valid dictionary; found list of 1\)"),
        (
            {"design": {"kind": "trio"}},
            r"incomplete model \(design\.PairDesign\.kind: Input should be 'pair'; found 'trio'\)",
        ),
    ],
    ids=["fewer layers", "wider code", "edits", "design"],
)
def test_a_model_json_that_does_not_fit_its_arrays_is_told(folder, change_facts, changes, message):
    change_facts(**changes)
    with pytest.raises(ModelError, match=rf"{message}.*\. Restore the model's folder from a good copy, or train"):
        load_model(folder)


def test_an_array_that_is_no_safetensors_is_told(folder, change_facts):
    (folder / "model.safetensors").write_bytes(b"nonsense")
    change_facts(arrays_sha256=hashlib.sha256(b"nonsense").hexdigest())
    with pytest.raises(ModelError, match=r"incomplete model \(SafetensorError"):
        load_model(folder)
