"""Which events are edited, and which columns the output has."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuronedit.adapters.files.parquet import marker_matrix
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.manifest import summary
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route
from tests.adapters.transforming import here, run
from tests.arrays import of_arrays
from tests.synthetic_cells import MARKERS, sample_table


class TestRules:
    def test_unknown_batches_pass_flagged(self, cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
        stranger = pa.concat_tables([sample_table(name, "control", 60, 9) for name in "ABD"], promote_options="none")
        pq.write_table(stranger, cells / "mixed.parquet")
        run(
            cells,
            tmp_path / "edited",
            controls_model,
            TransformRules(route=Route(unknown_batch="pass")),
            transform=here,
        )
        written = pq.read_table(tmp_path / "edited/mixed.parquet")
        assert written.column_names == [*stranger.column_names, "neuronedit"]
        assert written.column("neuronedit").to_pylist() == ["reference"] * 60 + ["edited"] * 60 + ["unknown batch"] * 60
        unmoved = written.drop_columns(["neuronedit"])
        same = [unmoved.slice(start, 60).to_pylist() == stranger.slice(start, 60).to_pylist() for start in (0, 60, 120)]
        assert same == [True, False, True]

    def test_where_chooses_the_events_of_a_pair_design(
        self, cells_once: Path, tmp_path: Path, pair_model: EditModel
    ) -> None:
        rules = TransformRules({"batch_id": "B", "donor": "P1"})
        run(cells_once, tmp_path / "edited", pair_model, rules, transform=here)
        before, after = (pq.read_table(folder / "B-control.parquet") for folder in (cells_once, tmp_path / "edited"))
        chosen = np.array([donor == "P1" for donor in before.column("donor").to_pylist()])
        done = np.array(after.column("neuronedit").to_pylist())
        assert np.array_equal(done == "edited", chosen)
        assert np.array_equal(done == "not chosen", ~chosen)
        for marker in MARKERS:
            values, edited = before.column(marker).to_numpy(), after.column(marker).to_numpy()
            assert np.array_equal(values[~chosen], edited[~chosen])
            assert (values[chosen] != edited[chosen]).mean() > 0.9
        intensities = marker_matrix(before, pair_model.panel, "x")[chosen]
        cd3 = pair_model.apply(intensities, "pair")[:, 0]
        assert np.array_equal(after.column("CD3").to_numpy()[chosen], cd3)

    def test_edits_strength_and_support_reach_the_events_and_a_column(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        rules = TransformRules(route=Route(edits=("B", "C"), strength=0.5, support=True))
        run(cells_once, tmp_path / "edited", controls_model, rules, transform=here)
        before, after = (pq.read_table(folder / "B-control.parquet") for folder in (cells_once, tmp_path / "edited"))
        assert after.column_names == [*before.column_names, "neuronedit_support"]
        intensities = marker_matrix(before, controls_model.panel, "x")
        expected = controls_model.apply(intensities, ("B", "C"), strength=0.5)
        assert np.array_equal(marker_matrix(after, controls_model.panel, "x"), expected)
        support = after.column("neuronedit_support").to_numpy()
        scores = of_arrays(controls_model.get_edit("B").support.scores, controls_model.standardised(intensities))
        assert np.array_equal(support, scores)
        assert (support <= 1).mean() > 0.95  # these are the events that B's edit was fitted on

    def test_support_is_null_where_no_edit_is_applied(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        run(
            cells_once,
            tmp_path / "edited",
            controls_model,
            TransformRules(route=Route(support=True)),
            transform=here,
        )
        reference = pq.read_table(tmp_path / "edited/A-control.parquet").column("neuronedit_support")
        assert reference.null_count == len(reference)

    def test_a_pair_design_edits_every_event_without_where(
        self, cells_once: Path, tmp_path: Path, pair_model: EditModel
    ) -> None:
        run(cells_once, tmp_path / "edited", pair_model, transform=here)
        assert json.loads((tmp_path / "edited/_manifest.json").read_text())["counts"]["edited"] == 2500
        assert "neuronedit" not in pq.read_schema(tmp_path / "edited/B-control.parquet").names

    def test_events_of_an_edit_without_effect_are_counted_and_told_as_such(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        idle = replace(controls_model.edits["B"], members=())
        model = replace(controls_model, edits={**controls_model.edits, "B": idle})
        rules = TransformRules(route=Route(unknown_batch="pass"))
        manifest = run(cells_once, tmp_path / "edited", model, rules, transform=here)
        told = {"edited": 700, "reference": 900, "unknown batch": 0, "not chosen": 0, "edit without effect": 900}
        assert manifest["counts"] == told
        by_file = {output["file"]: (output["edited"], output["edit without effect"]) for output in manifest["outputs"]}
        assert by_file["B-control.parquet"] == (0, 500)
        assert by_file["C-control.parquet"] == (350, 0)
        manifest["model"] = {"uri": "models:/m/1"}
        assert "(700 edited, 900 reference, 900 edit without effect)" in summary(manifest, "edited")
        before, after = (pq.read_table(folder / "B-control.parquet") for folder in (cells_once, tmp_path / "edited"))
        assert after.select(before.column_names).equals(before)
        assert set(after.column("neuronedit").to_pylist()) == {"edit without effect"}
