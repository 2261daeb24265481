"""The manifest accounts for everything."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from neuronedit.adapters.transform.committed import LeftOut
from neuronedit.adapters.transform.manifest import OutputOrigin, make_manifest, summary
from neuronedit.adapters.transform.output_folder import MANIFEST, STARTED, TransformPlan
from neuronedit.errors import OutputError
from tests.adapters.claiming import (
    CONFIG,
    claim,
    finish,
    parts,
    write_file,
)


def test_the_manifest_accounts_for_every_file(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    manifest = json.loads((target / MANIFEST).read_text())
    assert manifest["model"] == {"uri": "models:/m/1", "sha256": "d1"}
    assert manifest["config"] == CONFIG
    assert manifest["plan_sha256"] == plan.digest()
    assert manifest["events"] == 2500
    assert manifest["counts"] == {"edited": 18, "reference": 6, "unknown batch": 0, "not chosen": 0}
    assert manifest["left_out"] == []
    assert [entry["file"] for entry in manifest["outputs"]] == [file.name for file in plan.inputs.files]
    for entry in manifest["outputs"]:
        content = (target / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest["started"] <= manifest["finished"]
    assert not (target / STARTED).exists()


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "other rows"])
def test_no_manifest_where_a_file_is_not_as_its_input(target: Path, plan: TransformPlan, missing: bool) -> None:
    with claim(target, plan) as output:
        receipts = [write_file(output, plan, file.name) for file in plan.inputs.files]
        wrong = receipts[1:] if missing else [replace(receipts[0], events=1), *receipts[1:]]
        with pytest.raises(
            OutputError, match=r"outputs of 'A-control\.parquet' are missing or have other rows .*resume"
        ):
            make_manifest(plan, parts(plan), wrong, {}, OutputOrigin({}, CONFIG, "run", output.started, output.claim))


def test_events_left_out_are_accounted_for(target: Path, plan: TransformPlan) -> None:
    left_out = LeftOut("A-control.parquet", 1, 128, 3, "NaN")
    with claim(target, plan) as output:
        receipts = [write_file(output, plan, file.name) for file in plan.inputs.files]
        first = replace(receipts[0], events=receipts[0].events - 3, left_out=(left_out,))
        manifest = make_manifest(
            plan, parts(plan), [first, *receipts[1:]], {}, OutputOrigin({}, CONFIG, "run", output.started, output.claim)
        )
    assert manifest["left_out"] == [asdict(left_out)]
    assert manifest["events"] == 2497


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([None, None], "2 whole files, whose number of events is unknown"),
        ([1500, 1], "1,501 events in 2 places"),
        ([0, 7, None], "7 events in 2 places and 1 whole files, whose number of events is unknown"),
    ],
)
def test_what_was_left_out_is_told_as_unknown_where_it_was_not_counted(events: list[int | None], told: str) -> None:
    facts = {"counts": {}, "events": 0, "outputs": [], "model": {"uri": "m"}}
    manifest = {**facts, "left_out": [{"events": n_events} for n_events in events]}
    assert summary(manifest, "edited").splitlines()[1] == f"left out {told}: see edited/_manifest.json"
