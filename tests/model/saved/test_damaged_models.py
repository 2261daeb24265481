"""Models whose files belong together but hold what no model does: every one is refused, in one message."""

import copy
import hashlib
import json
import os
import random
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from neuronedit.edits.operators.table import OPERATORS
from neuronedit.errors import EditedError, ModelError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.arrays import operator_rules
from neuronedit.model.saved.files import ARRAYS, FACTS, load_model, model_contents, parse_model, save_model
from neuronedit.model.saved.readers import READERS
from tests.golden.cases import golden_folder

Facts = dict[str, Any]
Arrays = dict[str, np.ndarray]

REMEDY = r"Restore the model's folder from a good copy, or train the model again\.$"


def golden(number: int = 4) -> tuple[Facts, Arrays]:
    contents = model_contents(golden_folder(number))
    return json.loads(contents[FACTS]), safetensors.numpy.load(contents[ARRAYS])


def contents(facts: Any, arrays: Arrays) -> dict[str, bytes]:
    """The two files, which belong together whatever is in them."""
    saved = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    if isinstance(facts, dict) and "arrays_sha256" in facts:
        facts = facts | {"arrays_sha256": hashlib.sha256(saved).hexdigest()}
    return {FACTS: json.dumps(facts).encode(), ARRAYS: saved}


def refusal(facts: Any, arrays: Arrays) -> str:
    with pytest.raises(ModelError) as refused:
        parse_model(contents(facts, arrays), "model")
    return str(refused.value)


def test_what_is_not_changed_is_loaded() -> None:
    for number in READERS:
        assert parse_model(contents(*golden(number)), "model").edits


@pytest.mark.parametrize("number", READERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.finfo(np.float32).max, 1e30, -1e16])
def test_no_array_may_hold_what_is_not_finite_or_so_large_that_edits_overflow(number: int, value: float) -> None:
    facts, arrays = golden(number)
    kind = "not finite" if not np.isfinite(value) else "beyond"
    for name, array in arrays.items():
        gaps = ".spikes." in name and np.isnan(value)
        if array.dtype == np.bool_ or gaps:
            continue
        changed = array.copy()
        changed.flat[-1] = value
        told = refusal(facts, arrays | {name: changed})
        assert name in told, told
        assert kind in told or "up to -" in told, told


def set_last(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[-1] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "scaling.spreads",
            set_last(0),
            r"'scaling\.spreads' has 1 values up to 0 among 5; expected all above 1e-06\.",
        ),
        ("scaling.spreads", set_last(-1), r"'scaling\.spreads' has 1 values up to -1 among 5"),
        ("scaling.spreads", set_last(1e-44), r"'scaling\.spreads' has 1 values up to 9\.80909e-45 among 5"),
        ("scaling.means", lambda array: array[:3], r"'scaling\.means' has the shape \(3,\); expected \(5,\)\."),
        (
            "scaling.means",
            lambda array: array[0],
            r"'scaling\.means' has the shape \(1,\); expected \(5",
        ),
        ("scaling.means", lambda array: array.astype(np.float64), r"'scaling\.means' is float64 with 1 dim"),
        ("scaling.means", lambda array: array.astype(np.int32), r"'scaling\.means' is int32 with 1 dim"),
        ("edits.strata.0.0.spreads", set_last(0), r"'edits\.strata\.0\.0\.spreads' has 1 values up to 0 among 20"),
        ("edits.strata.0.0.reach", set_last(0), r"'edits\.strata\.0\.0\.reach' has 1 values up to 0 among 1"),
        ("edits.strata.0.0.knots", lambda array: array[:, ::-1], r"'edits\.strata\.0\.0\.knots' does not ascend"),
        (
            "edits.strata.0.0.shifts",
            lambda array: array[:2],
            r"shifts' has the shape \(2, 21, 5\); expected \(4, 21, 5",
        ),
        (
            "edits.strata.0.0.fell_back",
            lambda array: array.astype(np.int8),
            r"fell_back' is int8 with 1 dimensions; ex",
        ),
        ("edits.neighbours.0.0.knots", lambda array: array[:0], r"knots' has the shape \(0, 6\); expected \(1, 6\)"),
        ("edits.neighbours.0.0.shifts", lambda array: array[:-1], r"shifts' has the shape \(239, 6\); expected \(240,"),
        ("edits.transport.0.0.lowest", set_last(1e3), r"transport\.0\.0\.lowest is above edits\.transport\.0\.0\.high"),
        (
            "edits.transport.0.1.shifts",
            lambda a: a * 0 + 200,
            r"shifts' leads \d+ of 105 values beyond float32 intensi",
        ),
        ("edits.strata.support.landmarks", set_last(np.nan), r"landmarks' has 1 values not finite among 1200"),
        ("edits.strata.support.landmarks", lambda a: a * 0 + 200, r"landmarks' leads \d+ of 1200 values beyond float3"),
        (
            "edits.strata.support.own_distances",
            lambda a: a * 0,
            r"own_distances' has 240 distances; expected at least ",
        ),
        ("edits.strata.spikes.zeros", set_last(np.nan), r"spikes: zeros and thresholds are of different markers\."),
        ("autoencoders.0.layers.1.weight", lambda array: array.T, r"weight' has the shape \(8, 6\); expected \(6, 8\)"),
        ("autoencoders.0.layers.0.weight", set_last(1e14), r"the edit '.*' overflows on events that it was learned on"),
    ],
)
def test_arrays_that_no_model_has_are_told_by_name(name: str, change: Callable[..., Any], message: str) -> None:
    facts, arrays = golden()
    changed = change(arrays[name].copy())
    if name == "edits.strata.spikes.zeros":
        arrays["edits.strata.spikes.thresholds"][-1] = 0
    with pytest.raises(ModelError, match=f"^model: .*{message}.*{REMEDY}"):
        parse_model(contents(facts, arrays | {name: np.asarray(changed)}), "model")


def test_a_missing_and_a_surplus_array_are_told() -> None:
    facts, arrays = golden()
    for name in arrays:
        told = refusal(facts, {other: array for other, array in arrays.items() if other != name})
        assert f"'{name}' is missing" in told or "arrays; expected at least" in told, told
    told = refusal(facts, arrays | {"edits.other.0.0.knots": arrays["scaling.means"]})
    assert told.startswith("model: holds 'edits.other.0.0.knots', which the model does not have. Restore")


def changed_facts(place: str, value: Any) -> Facts:
    facts, _ = golden()
    *parts, last = place.split("/")
    inner: Any = facts
    for part in parts:
        inner = inner[int(part) if part.isdigit() else part]
    inner[int(last) if last.isdigit() else last] = value
    return facts


MEMBER = "edits/strata/members/0"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("autoencoders", 0, r"autoencoders: Input should be greater than or equal to 1; found 0\)"),
        ("autoencoders", True, r"autoencoders: Input should be a valid integer; found True\)"),
        ("autoencoders", 10**6, r"expected at least 8 for each of 1000000 autoencoders\."),
        ("autoencoders", 10**400, r"autoencoders: Input should be less than or equal to 1000000; found a huge number"),
        ("architecture/hidden", [8] * 200_000, r"the encoder has 200,000 hidden layers; expected at most 1,000;"),
        ("architecture/hidden", [10**9], r"a layer has 1,000,000,000 neurons; expected at most 1,000,000;"),
        (
            "architecture/hidden",
            [10**5],
            r"'autoencoders\.0\.layers\.0\.weight' has the shape \(8, 5\); expected \(100000, 5",
        ),
        ("architecture/code", -1, r"architecture\.code: Input should be greater than 0; found -1\)"),
        (
            "panel/markers",
            ["CD3"],
            r"The panel has 1 markers but 5 transforms\..* Or use the neuronedit that wrote the model\.$",
        ),
        ("panel/markers", "CD3", r"panel\.markers: Input should be a valid list; found 'CD3'\)"),
        (
            "panel/markers/1",
            "CD3",
            r"The panel names 'CD3' more than once\..* Or use the neuronedit that wrote the model\.$",
        ),
        ("panel/transforms/0/cofactor", -5, r"arcsinh has cofactor -5; expected a positive number"),
        ("panel/transforms/0/cofactor", "5", r"panel\.transforms\.0\.cofactor\.int: Input should be a valid integer; "),
        ("panel/transforms/0/cofactor", 1e-300, r"marker 1 does not lead the intensities 0 and 100 there and back"),
        ("panel/transforms/0/cofactor", 1e300, r"marker 1 does not lead the intensities 0 and 100 there and back"),
        ("edits/strata/shrinks", "yes", r"edits\.strata\.shrinks: Input should be a valid boolean; found 'yes'\)"),
        ("edits/strata/members", [], r"holds 'edits\.strata\.0\.0\.alignment\.knots', "),
        ("edits/strata/choice", {"weights": {}}, r"edits\.strata\.choice\.weights: Dictionary should have at least 1"),
        (f"{MEMBER}/weight", 0.5, r"the members' weights sum to 0\.5; expected 1;"),
        (f"{MEMBER}/weight", float("nan"), r"members\.0\.weight\.int: "),
        (f"{MEMBER}/autoencoder", 7, r"the edit 'strata' is for autoencoder 7 of 1\)"),
        (f"{MEMBER}/autoencoder", -1, r"autoencoder: Input should be greater than or equal to 0; found -1\)"),
        (f"{MEMBER}/steps", [], r"members\.0\.steps: List should have at least 1 item"),
        (f"{MEMBER}/steps/0/layer", "cod", r"The autoencoder has no layer 'cod'"),
        (f"{MEMBER}/steps/0/operator", "magic", r"steps\.0\.operator: Input should be 'step', 'linear',"),
        ("design", {"kind": "controls"}, r"incomplete model \(design\."),
        ("facts", {"data": "here"}, r"incomplete model \(facts: data is no table; found dict of 1\)"),
    ],
)
def test_facts_that_no_model_has_are_told(place: str, value: Any, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(ModelError, match=f"^model: .*{message}"):
        parse_model(contents(changed_facts(place, value), golden()[1]), "model")
    assert time.monotonic() - started < 2, "nothing of the size that the file claims is made"


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, "[" * 99 + "]" * 99])
def test_deeply_nested_json_is_refused(deep: str) -> None:
    for text in (deep, '{"format": 4, "facts": ' + deep + "}"):
        with pytest.raises(
            ModelError, match=r"^model: model\.json: (nested more than 32 deep|damaged, not valid JSON)"
        ):
            parse_model({FACTS: text.encode(), ARRAYS: b""}, "model")


def test_huge_json_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / FACTS).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(
        ModelError, match=r"model\.json: 1,099,511,627,776 bytes; expected at most 67,108,864\. Restore"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder", "loop", "null byte"])
def test_what_is_no_file_is_told_and_never_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "m"
    save_golden(folder)
    (folder / name).unlink()
    if kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(folder / name))
    elif kind == "folder":
        (folder / name).mkdir()
    elif kind == "null byte":
        folder = Path(f"{folder}\0")
    else:
        (folder / name).symlink_to("/dev/zero" if kind == "device" else name)
    expected = "not a neuronedit model|expected a file, found a folder, device or pipe|cannot be read"
    with pytest.raises(ModelError, match=expected):
        load_model(folder)


def save_golden(folder: Path) -> None:
    folder.mkdir()
    for name, content in model_contents(golden_folder(4)).items():
        (folder / name).write_bytes(content)


def test_files_that_are_links_are_read(tmp_path: Path) -> None:
    save_golden(tmp_path / "kept")
    (tmp_path / "linked").mkdir()
    for name in (FACTS, ARRAYS):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "kept" / name)
    assert load_model(tmp_path / "linked").edits


def test_a_model_that_is_not_finite_is_not_saved_either(pair_model: EditModel, tmp_path: Path) -> None:
    pair_model.scaling.means[0] = np.nan
    with pytest.raises(
        ModelError, match=r"model: not saved: the array 'scaling\.means' has 1 values not finite among 5"
    ):
        save_model(pair_model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_every_operator_has_rules_for_its_arrays() -> None:
    assert all(operator_rules(operator, 3) for operator in OPERATORS)


VALUES: list[Any] = [None, True, -1, 0, 1, 7, 10**30, 1e39, -0.5, float("nan"), float("inf"), "", "x", "code", [], [[]]]
VALUES += [{}, {"a": 1}, [1, 2], ["CD3"], "\ud800"]


@pytest.mark.parametrize("number", READERS)
def test_whatever_is_changed_in_the_facts_is_refused_or_loads(number: int) -> None:
    drawn = random.Random(number)
    facts, arrays = golden(number)
    if number == 3:  # one of its edits is enough
        facts["edits"] = {"neurons-strata": facts["edits"]["neurons-strata"]}
        arrays = {
            name: array for name, array in arrays.items() if not name.startswith("edits.") or "neurons-strata" in name
        }
    places = list(all_places(facts))
    for _ in range(300):
        changed = copy.deepcopy(facts)
        for place in drawn.sample(places, drawn.choice([1, 1, 1, 2])):
            spoil(changed, place, drawn)
        check_refused_or_loaded(contents(changed, arrays), number)


def all_places(value: Any, place: tuple[Any, ...] = ()) -> Any:
    if place:
        yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from all_places(inner, (*place, key))


def spoil(facts: Facts, place: tuple[Any, ...], drawn: random.Random) -> None:
    *parts, last = place
    inner: Any = facts
    for part in parts:
        try:
            inner = inner[part]
        except (KeyError, IndexError, TypeError):
            return
    if not isinstance(inner, dict | list) or (isinstance(inner, list) and last >= len(inner)):
        return
    if drawn.random() < 0.2 and (isinstance(inner, list) or last in inner):
        del inner[last]
    elif drawn.random() < 0.1 and isinstance(inner, list):
        inner.append(inner[last])
    else:
        inner[last] = drawn.choice(VALUES)


@pytest.mark.parametrize("number", READERS)
def test_whatever_is_changed_in_the_arrays_is_refused_or_loads(number: int) -> None:
    drawn = np.random.default_rng(number)
    facts, arrays = golden(number)
    changes: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda array: array[:-1] if array.ndim else array,
        lambda array: array.reshape(-1),
        lambda array: array[None],
        lambda array: array.astype(drawn.choice(["f8", "f2", "i4", "u1", "?"])),
        lambda array: array * array.dtype.type(drawn.choice([0, -1, 1e3, 1e7, 1e12, 1e20])),
        lambda array: np.where(drawn.random(array.shape) < 0.1, drawn.choice([np.nan, np.inf, 1e9]), array).astype(
            "f4"
        ),
        lambda array: drawn.permutation(array),
        lambda array: array[:0],
    ]
    for _ in range(150):
        name = drawn.choice(list(arrays))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            changed = changes[drawn.integers(len(changes))](arrays[name])
        check_refused_or_loaded(contents(facts, arrays | {name: np.asarray(changed)}), number)


def test_whichever_bytes_are_damaged_is_told_or_harmless(tmp_path: Path) -> None:
    drawn = random.Random(1)
    whole = model_contents(golden_folder(4))
    for _ in range(200):
        spoilt = {name: bytearray(content) for name, content in whole.items()}
        content = spoilt[drawn.choice([FACTS, ARRAYS])]
        for _ in range(drawn.choice([1, 1, 5])):
            content[drawn.randrange(len(content))] = drawn.randrange(256)
        if drawn.random() < 0.3:
            del content[drawn.randrange(len(content)) :]
        facts = bytes(spoilt[FACTS])
        digest = hashlib.sha256(spoilt[ARRAYS]).hexdigest().encode()  # as if somebody had made them fit
        facts = facts.replace(json.loads(whole[FACTS])["arrays_sha256"].encode(), digest)
        check_refused_or_loaded({FACTS: facts, ARRAYS: bytes(spoilt[ARRAYS])}, 4)


def check_refused_or_loaded(spoilt: dict[str, bytes], number: int) -> None:
    """Refused in one message; or it loads, and edits to what is finite, or is told not to."""
    try:
        model = parse_model(spoilt, "model")
    except ModelError as error:
        told = str(error)
        assert len(told) < 1_000, told
        return
    events = np.load(golden_folder(number) / "events.npy")[:50].astype(np.float64)
    if events.shape[1] == model.panel.n_markers:
        for name in model.edits:
            with suppress(EditedError):
                assert np.isfinite(model.apply(events, name)).all(), name
