"""h5ad files: into Parquet, edited by the job, out again; the whole way leaves what is not edited as it was."""

import json
import sys
import time
from contextlib import suppress

import anndata
import h5py
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anndata import AnnData
from neuronedit_jobs import export as job
from neuronedit_jobs import ingest, transform, verify
from scipy import sparse

from neuronedit import save_model
from neuronedit.anndata import edit
from neuronedit.model.example import example_batches
from tests.adapters.exporting import export
from tests.fcs_files import write_float_fcs

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def _ray(ray_cluster):
    pass


@pytest.fixture
def file(adata, tmp_path):
    adata.obs["donor"] = adata.obs["donor"].astype("category")
    adata.obs["age"] = np.arange(800)
    adata.obs["dose"] = np.where(np.arange(800) % 3, 0.5, np.nan)
    adata.obs["alive"] = np.arange(800) % 2 == 0
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def ingested(file, *more):
    target = file.with_name("parquet")
    assert ingest.main(["--from", "h5ad", "--file", str(file), "--output", str(target), *more]) == 0
    return target


def exported(cells, **settings):
    target = cells.with_name("h5ad")
    export(cells, target, to="h5ad", **settings)
    assert verify.main([str(target)]) == 0
    return anndata.read_h5ad(target / "cells.h5ad")


def assert_same_cells(found, adata, but=()):
    pd.testing.assert_frame_equal(
        found.obs[list(adata.obs)].astype(object), adata.obs.astype(object), check_index_type=False, check_names=False
    )
    assert [*found.var_names] == [*adata.var_names]
    columns = [name for name in adata.var_names if name not in but]
    assert np.array_equal(found[:, columns].X, adata[:, columns].X)


def test_what_goes_in_and_out_again_is_the_same(adata, file):
    cells, target = ingested(file), file.with_name("h5ad")
    assert job.main(["--to", "h5ad", "--set", f"data.path={cells}", "--output", str(target)]) == 0
    found = anndata.read_h5ad(target / "cells.h5ad")
    assert_same_cells(found, adata)
    assert found.X.dtype == np.float32
    assert isinstance(found.obs["donor"].dtype, pd.CategoricalDtype)
    assert found.obs["age"].dtype == np.int64
    assert found.obs["alive"].dtype == bool
    assert found.uns["meta"] == {"$CYT": "CyTOF"}
    assert found.var["is_marker"].tolist() == [True, False, True, True, False]


def test_the_job_writes_bit_for_bit_what_edit_gives(adata, file, tmp_path):
    digest = save_model(example_batches(), tmp_path / "model")
    cells, edited = ingested(file), tmp_path / "edited"
    arguments = ["--set", f"data.path={cells}", "--model", str(tmp_path / "model"), "--output", str(edited)]
    arguments += ["--set", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", "--support"]
    assert transform.main(arguments) == 0
    found = exported(edited)
    edit(adata, tmp_path / "model", support=True)
    assert np.array_equal(found.X, adata.layers["neuronedit"])
    assert np.array_equal(found.obs["neuronedit_support"], adata.obs["neuronedit_support"], equal_nan=True)
    assert found.uns["neuronedit"]["digest"] == digest == adata.uns["neuronedit"]["neuronedit"]["model_sha256"]
    assert_same_cells(found, adata, but=["pSTAT1", "CD3", "CD4"])


KINDS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix]


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [(dtype, kind) for dtype in (np.float32, np.float64, np.int32) for kind in KINDS] + [(np.float16, np.asarray)],
)
def test_every_kind_of_matrix_and_layer_is_read(adata, tmp_path, kind, dtype):
    adata.layers["counts"] = kind(np.round(adata.X).astype(dtype))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    found = exported(ingested(tmp_path / "cells.h5ad", "--layer", "counts"))
    assert np.array_equal(found.X, np.round(adata.X).astype(dtype))
    assert found.X.dtype == (np.float32 if dtype in (np.float16, np.float32) else np.float64)


def test_a_dataset_of_several_files_becomes_one_with_all_of_their_columns(tmp_path):
    cells = tmp_path / "cells" / "site=A"
    cells.mkdir(parents=True)
    first = {"CD3": pa.array([1.0, 2.0], pa.float32()), "donor": ["P1", None], "n": pa.array([1, 2])}
    second = {"CD3": pa.array([3.0], pa.float32()), "n": pa.array([None], pa.int64()), "when": ["noon"]}
    pq.write_table(pa.table(first), cells / "a.parquet")
    pq.write_table(pa.table(second), cells / "b.parquet")
    found = exported(tmp_path / "cells")
    assert found.X.ravel().tolist() == [1.0, 2.0, 3.0]
    assert found.obs_names.tolist() == ["0", "1", "2"]
    assert found.obs["donor"].tolist()[0] == "P1"
    assert found.obs["donor"].isna().tolist() == [False, True, True]
    assert found.obs["when"].isna().tolist() == [True, True, False]
    assert np.array_equal(found.obs["n"], [1.0, 2.0, np.nan], equal_nan=True)
    assert found.obs["site"].tolist() == ["A", "A", "A"]


@pytest.mark.parametrize("facts", [None, "text", {"channels": ["CD3"]}, {"variables": 3, "keywords": [1]}])
def test_metadata_of_other_programs_is_no_hindrance(tmp_path, facts):
    metadata = {b"neuronedit": json.dumps(facts)}
    (tmp_path / "cells").mkdir()
    table = pa.table({"CD3": [1.5, 2.5], "n": [1, 2]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "cells" / "a.parquet")
    found = exported(tmp_path / "cells")
    assert (found.X.ravel().tolist(), [*found.obs]) == ([1.5, 2.5], ["n"])


def test_columns_of_every_type_and_name_come_along(tmp_path):
    columns = {
        "CD3": pa.array([1.0, 2.0, 3.0], pa.float32()),
        "a/b": ["x", "y", None],
        "a_b": ["1", "2", "3"],
        "_index": [7, 8, 9],
        "nul\0": ["n\0ul", "", "z"],
        "bytes": pa.array([b"\xff\xfe", b"ok", None]),
        "when": pa.array([0, 1, None], pa.timestamp("s")),
        "took": pa.array([0, 1, None], pa.duration("s")),
        "codes": pa.array([5, 5, 6]).dictionary_encode(),
        "half": pa.array([True, None, False]),
        "small": pa.array([1, 2, 3], pa.uint8()),
        "many": [[1], [2], [3]],
    }
    (tmp_path / "cells").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "cells" / "a.parquet")
    obs = exported(tmp_path / "cells").obs
    assert set(obs) == {"a_b", "a_b_2", "_index_2", "nul_", "bytes", "when", "took", "codes", "half", "small"}
    assert obs["a_b"].astype(object).tolist()[:2] == ["x", "y"]
    assert obs["a_b_2"].tolist() == ["1", "2", "3"]
    assert obs["nul_"].tolist() == ["n\ufffdul", "", "z"]
    assert obs["codes"].tolist() == [5, 5, 6]
    assert np.array_equal(obs["half"], [1, np.nan, 0], equal_nan=True)
    assert obs["bytes"].tolist()[0] == "b'\\xff\\xfe'"
    assert obs["small"].dtype == np.uint8
    assert obs["when"].isna().tolist() == [False, False, True]


def test_chosen_events_and_columns_alone_are_written(adata, file):
    found = exported(ingested(file), where={"batch_id": "day2"}, leave_out=["age", "Time"])
    day2 = adata[adata.obs["batch_id"] == "day2"]
    assert "age" not in found.obs
    assert [*found.var_names] == [name for name in adata.var_names if name != "Time"]
    assert np.array_equal(found.X, day2[:, found.var_names].X)
    assert [*found.obs_names] == [*day2.obs_names]


def test_the_same_parquet_gives_the_same_bytes_and_a_resume_keeps_them(file):
    cells = ingested(file)
    exported(cells)
    written = (cells.with_name("h5ad") / "cells.h5ad").read_bytes()
    exported(cells, resume=True)
    exported(cells, overwrite=True)
    assert (cells.with_name("h5ad") / "cells.h5ad").read_bytes() == written


def test_detectors_of_fcs_come_along_and_go_back(tmp_path):
    sheet = tmp_path / "samples.csv"
    write_float_fcs(tmp_path / "a.fcs", np.ones((3, 2)), ["Er170Di", "Time"], ["CD3", ""], {"$CYT": "CyTOF"})
    sheet.write_text("file,sample_id,batch_id\na.fcs,a,b1\n")
    assert ingest.main(["--sample-sheet", str(sheet), "--output", str(tmp_path / "cells")]) == 0
    found = exported(tmp_path / "cells")
    assert found.var["channel"].to_dict() == {"CD3": "Er170Di", "Time": "Time"}
    assert found.uns["meta"]["$CYT"] == "CyTOF"
    back = ingested(tmp_path / "h5ad" / "cells.h5ad")
    export(back, tmp_path / "fcs")
    (fcs,) = (tmp_path / "fcs").glob("*.fcs")
    assert b"Er170Di" in fcs.read_bytes()
    assert b"CyTOF" in fcs.read_bytes()


def test_what_cannot_be_ingested_is_told_and_nothing_stands(adata, file, tmp_path, capsys):
    def refused(file, *more):
        arguments = ["--from", "h5ad", "--file", str(file), "--output", str(tmp_path / "out"), *more]
        assert ingest.main(arguments) == 2
        assert not [*tmp_path.glob("out/*.parquet")]
        return capsys.readouterr().err

    (tmp_path / "none.h5ad").write_bytes(b"no HDF5")
    assert "none.h5ad: not an h5ad file that can be read" in refused(tmp_path / "none.h5ad")
    assert "missing.h5ad: not an h5ad file that can be read" in refused(tmp_path / "missing.h5ad")
    with h5py.File(tmp_path / "other.h5ad", "w") as other:
        other["X"] = [1.0]
    assert "expected an h5ad file of AnnData; found HDF5 without 'obs', 'var'" in refused(tmp_path / "other.h5ad")
    with h5py.File(tmp_path / "odd.h5ad", "w") as odd:
        odd["X"], odd["obs"] = np.ones((2, 2)), [1.0]
        odd.create_group("var").attrs["encoding-type"] = "of another age"
    assert "odd.h5ad: not an h5ad file that can be read" in refused(tmp_path / "odd.h5ad")
    assert "there is no layer 'raw' (layers: none" in refused(file, "--layer", "raw")
    adata.obs["CD3"] = "x"
    adata.write_h5ad(tmp_path / "twice.h5ad")
    assert "'CD3' would stand twice. Rename one of each." in refused(tmp_path / "twice.h5ad")
    del adata.obs["CD3"]
    adata.X[7, 2] = np.nan
    adata.write_h5ad(tmp_path / "nan.h5ad")
    assert "marker 'CD3' has NaN in row 7" in refused(tmp_path / "nan.h5ad")
    cut = file.read_bytes()[:20_000]
    (tmp_path / "cut.h5ad").write_bytes(cut)
    assert "cut.h5ad: not an h5ad file that can be read" in refused(tmp_path / "cut.h5ad")
    assert ingest.main(["--from", "h5ad", "--output", str(tmp_path / "out")]) == 2
    assert "from is h5ad, and the key 'file' is missing" in capsys.readouterr().err
    assert ingest.main(["--from", "h5ad", "--file", str(file), "--panel", "p.csv", "--output", str(tmp_path)]) == 2
    assert "'panel' is for the other kind of file; leave it out" in capsys.readouterr().err


def test_values_that_look_transformed_are_told(adata, tmp_path, capsys):
    AnnData(np.arcsinh(adata.X / 5)[:, [0, 2, 3]], obs=adata.obs, var=adata.var.iloc[[0, 2, 3]]).write_h5ad(
        tmp_path / "cells.h5ad"
    )
    ingested(tmp_path / "cells.h5ad")
    assert "no value is beyond 12: they look transformed" in capsys.readouterr().err


def test_the_output_says_what_it_was_made_of(file):
    manifest = json.loads((ingested(file) / "_manifest.json").read_text())
    (output,) = manifest["outputs"]
    assert (output["input"], output["events"], manifest["job"]) == ("cells.h5ad", 800, "ingest")
    assert verify.main([str(file.with_name("parquet"))]) == 0


@pytest.mark.faults
def test_ten_million_cells_are_written_in_less_than_a_gigabyte(tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    generator = np.random.default_rng(0)
    columns = {f"M{n}": pa.array(generator.lognormal(3, 1, 500_000).astype(np.float32)) for n in range(40)}
    labels = {"batch_id": pa.array(["day1"] * 500_000).dictionary_encode(), "event": pa.array(np.arange(500_000))}
    for number in range(20):
        pq.write_table(pa.table(columns | labels), cells / f"{number:02}.parquet")
    command = [sys.executable, "-m", "neuronedit_jobs", "export", "--to", "h5ad", "--set", f"data.path={cells}"]
    job = psutil.Popen([*command, "--output", str(tmp_path / "h5ad")])
    peak = 0
    while job.poll() is None:
        for process in [job, *job.children(recursive=True)]:
            with suppress(psutil.Error):
                peak = max(peak, process.memory_info().rss)
        time.sleep(0.2)
    assert job.returncode == 0
    assert peak < 1e9
    backed = anndata.read_h5ad(tmp_path / "h5ad" / "cells.h5ad", backed="r")
    assert backed.shape == (10_000_000, 40)
    assert np.array_equal(backed.X[9_500_000:9_500_010, 0], columns["M0"].to_numpy()[:10])
