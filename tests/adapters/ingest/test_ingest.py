import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from neuronedit_jobs.ingest import IngestConfig

import neuronedit
from neuronedit.adapters.fcs import data
from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.adapters.fcs.parquet_file import parquet_names
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.errors import DataError, OutputError, PanelError, StorageError
from tests.adapters.claiming import tree
from tests.adapters.ingesting import ingest
from tests.fcs_files import fcs_bytes, write_float_fcs

ROOT = Path(__file__).parents[3]
CHANNELS = ["Time", "Nd142Di", "Nd145Di"]
MARKERS = ["", "CD19", "CD4"]


def events(seed):
    return np.random.default_rng(seed).gamma(2, 20, (20, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Two FCS files, a sheet and a panel of their markers."""
    for number, name in enumerate("ab"):
        write_float_fcs(tmp_path / f"{name}.fcs", events(number), CHANNELS, MARKERS)
    (tmp_path / "samples.csv").write_text("file,sample_id,batch_id,role\na.fcs,s/1,b1,control\nb.fcs,s2,b2,\n")
    (tmp_path / "panel.csv").write_text("channel,marker,cofactor\nNd142Di,B cells,5\nNd145Di,T cells,5\n")
    return tmp_path


def settings(folder, **changes):
    values = {"sample_sheet": str(folder / "samples.csv"), "output": str(folder / "cells"), **changes}
    return IngestConfig.model_validate(values)


def run_ingest(folder, *overrides):
    values = [f"sample_sheet={folder / 'samples.csv'}", f"output={folder / 'cells'}", *overrides]
    return subprocess.run(
        [sys.executable, "jobs/ingest.py", *(part for value in values for part in ("--set", value))],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def refuses(error, folder, *parts, **changes):
    """The ingest is refused with a message that has these parts in order, and leaves nothing new."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(error, match=".*".join(re.escape(part) for part in parts)):
        ingest(settings(folder, **changes))
    assert sorted(folder.rglob("*")) == before


def test_the_command_writes_a_dataset_of_raw_intensities(folder):
    done = run_ingest(folder, f"panel={folder / 'panel.csv'}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == [f"{folder / 'cells'}: 40 events of 2 files"]
    table = ds.dataset([folder / "cells" / "s_1.parquet", folder / "cells" / "s2.parquet"]).to_table()
    labels, channels = ["file", "sample_id", "batch_id", "role"], ["Time", "B cells", "T cells"]
    assert table.column_names == labels + channels
    assert [table.schema.field(name).type for name in channels] == [pa.float32()] * 3
    assert table.schema.field("batch_id").type == pa.dictionary(pa.int32(), pa.string())
    found = np.column_stack([table[name].to_numpy() for name in channels])
    np.testing.assert_array_equal(found, np.concatenate([events(0), events(1)]))
    assert table["sample_id"].to_pylist() == ["s/1"] * 20 + ["s2"] * 20
    assert table["role"].to_pylist() == ["control"] * 20 + [""] * 20


def test_each_file_says_where_it_comes_from(folder):
    ingest(settings(folder, panel=str(folder / "panel.csv")))
    path = folder / "cells" / "s_1.parquet"
    digest = hashlib.sha256((folder / "a.fcs").read_bytes()).hexdigest()
    assert json.loads(pq.read_schema(path).metadata[b"neuronedit"]) == {
        "file": "a.fcs",
        "sha256": digest,
        "fcs_version": "3.1",
        "channels": {"Time": "Time", "Nd142Di": "B cells", "Nd145Di": "T cells"},
        "compensated": False,
        "keywords": read_fcs(folder / "a.fcs").keywords,
    }
    chunk = pq.ParquetFile(path).metadata.row_group(0)
    encodings = {chunk.column(n).path_in_schema: chunk.column(n).encodings for n in range(chunk.num_columns)}
    assert "RLE_DICTIONARY" in encodings["batch_id"]
    assert "RLE_DICTIONARY" not in encodings["T cells"]
    assert chunk.column(0).compression == "ZSTD"
    record = json.loads((folder / "cells" / "_manifest.json").read_text())
    assert record["outputs"][0] == {
        "file": "s_1.parquet",
        "input": "a.fcs",
        "input_content": f"sha256:{digest}",
        "fcs_version": "3.1",
        "sample_id": "s/1",
        "events": 20,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert (record["job"], set(record["versions"])) == ("ingest", {"pyarrow", "numpy"})
    assert (record["columns"], record["neuronedit"]) == (["Time", "B cells", "T cells"], neuronedit.__version__)
    assert record["config"]["panel"] == str(folder / "panel.csv")


def columns(folder, **changes):
    ingest(settings(folder, **changes))
    return ds.dataset(folder / "cells").schema.names[4:]


def test_without_a_panel_channels_have_their_marker_names(folder):
    assert columns(folder) == ["Time", "CD19", "CD4"]


def test_a_panel_without_channels_finds_markers_by_their_label_in_the_file(folder):
    (folder / "panel.csv").write_text("marker\nCD4\n")
    assert columns(folder, panel=str(folder / "panel.csv")) == ["Time", "Nd142Di", "CD4"]


@pytest.mark.parametrize(
    "panel", ["channel,marker,role\nNd145Di,T,\nNd142Di,B,ignore\n", "marker,role\nCD4,\nCD19,ignore\n"]
)
def test_what_the_panel_ignores_passes_under_its_name_and_need_not_be_there(folder, panel):
    (folder / "panel.csv").write_text(panel)
    named = ["Time", "B", "T"] if "T" in panel else ["Time", "CD19", "CD4"]
    assert columns(folder, panel=str(folder / "panel.csv")) == named
    write_float_fcs(folder / "b.fcs", events(1)[:, [0, 2]], CHANNELS[::2], MARKERS[::2])
    kept = {"common": named[::2], "all": named, "none": named[2:]}
    for passengers, expected in kept.items():
        wanted = {"panel": str(folder / "panel.csv"), "passengers": passengers, "overwrite": True}
        assert columns(folder, **wanted) == expected


def test_a_later_file_takes_the_first_files_order(folder):
    write_float_fcs(folder / "b.fcs", events(1)[:, ::-1], CHANNELS[::-1], MARKERS[::-1])
    ingest(settings(folder))
    table = pq.read_table(folder / "cells" / "s2.parquet")
    np.testing.assert_array_equal(
        np.column_stack([table[name].to_numpy() for name in table.column_names[4:]]), events(1)
    )


def test_compensation_is_applied_and_recorded(folder):
    keywords = {"SPILL": "2,Nd142Di,Nd145Di,1,0.5,0,1"}
    for number, name in enumerate("ab"):
        write_float_fcs(folder / f"{name}.fcs", events(number), CHANNELS, MARKERS, keywords)
    ingest(settings(folder, compensate=True))
    schema = pq.read_schema(folder / "cells" / "s2.parquet")
    assert json.loads(schema.metadata[b"neuronedit"])["compensated"] is True
    found = pq.read_table(folder / "cells" / "s2.parquet")["CD4"].to_numpy()
    np.testing.assert_allclose(found, events(1)[:, 2] - 0.5 * events(1)[:, 1], atol=1e-4)  # float32, at 100


def test_file_names_are_safe_and_unique():
    names = parquet_names(["a/b", "a b", "A_B", "a_b-2", "_x", "..", "naïve"])
    assert names == [f"{name}.parquet" for name in ["a_b", "a_b-2", "A_B-3", "a_b-2-2", "x", "sample", "na_ve"]]


def test_a_panel_may_name_transforms_and_intensities_stay_raw(folder):
    panel = folder / "panel.csv"
    ingest(settings(folder, panel=str(panel)))
    raw = [path.read_bytes() for path in sorted((folder / "cells").glob("*.parquet"))]
    panel.write_text("channel,marker,transform\nNd142Di,B cells,logicle\nNd145Di,T cells,linear\n")
    ingest(settings(folder, panel=str(panel), overwrite=True))
    assert [path.read_bytes() for path in sorted((folder / "cells").glob("*.parquet"))] == raw


def test_a_panel_that_does_not_fit_a_file_is_refused(folder):
    panel = folder / "panel.csv"
    panel.write_text("channel,marker\nNd142Di,CD19\nNd146Di,CD8\n")
    parts = ["a.fcs: channel 'Nd146Di' is missing (the panel has 2 channels; this file has 1", "nearest name 'Nd145Di'"]
    refuses(PanelError, folder, *parts, "drop the file from the sample sheet", panel=str(panel))
    panel.write_text("marker\nCD19\nCD4+\n")
    parts = ["a.fcs: marker 'CD4+' is missing (the panel has 2 markers; this file has 1", "nearest name 'CD4'"]
    refuses(PanelError, folder, *parts, panel=str(panel))
    panel.write_text("channel,marker\nX1,CD19\nX2,CD4\n")
    refuses(PanelError, folder, "a.fcs: channels 'X1', 'X2' are missing", panel=str(panel))


def test_a_panel_that_gives_two_channels_one_name_is_refused(folder):
    panel = folder / "panel.csv"
    panel.write_text("channel,marker\nNd142Di,Time\n")
    parts = ["a.fcs: expected the panel to give each channel a name of its own; 'Time' stands for two", "Correct"]
    refuses(PanelError, folder, *parts, panel=str(panel))
    panel.write_text("channel,marker\nNd142Di,X\n,CD19\n")
    refuses(PanelError, folder, "a channel stands for two markers", panel=str(panel), labels="ignore")


def test_files_of_different_columns_are_refused(folder):
    write_float_fcs(folder / "b.fcs", events(1), CHANNELS, ["", "CD20", "CD4"])
    parts = [f"{folder / 'b.fcs'}: expected the 3 channels of a.fcs; it lacks 'CD19' and it adds 'CD20'", "separately"]
    refuses(DataError, folder, *parts)


def test_a_channel_with_the_name_of_a_sheet_column_is_refused(folder):
    write_float_fcs(folder / "a.fcs", events(0), CHANNELS, ["role", "CD19", "CD4"])
    parts = [f"{folder / 'a.fcs'}: channel 'role' has the name of a column of the sample sheet", "Rename"]
    refuses(DataError, folder, *parts)


def test_a_sheet_column_with_the_name_of_a_panel_marker_is_refused(folder):
    (folder / "panel.csv").write_text("channel,marker\nNd142Di,role\n")
    parts = ["samples.csv: column 'role' has the name of a marker"]
    refuses(DataError, folder, *parts, panel=str(folder / "panel.csv"))


def test_doubles_beyond_float32_are_refused(folder):
    values = events(0).astype(np.float64)
    values[4, 1] = 1e39
    (folder / "a.fcs").write_bytes(fcs_bytes(values, CHANNELS))
    (folder / "samples.csv").write_text("file,sample_id,batch_id\na.fcs,s1,b1\n")
    with pytest.raises(DataError, match=r"a\.fcs: expected finite intensities; channel 'Nd142Di' has inf at event 5\."):
        ingest(settings(folder))
    assert not list((folder / "cells").rglob("*.parquet"))
    with pytest.raises(OutputError, match="An ingest was started here and did not finish"):
        list_dataset(str(folder / "cells"))


def test_a_file_that_fails_after_others_leaves_no_output(folder):
    (folder / "b.fcs").write_bytes(b"")
    before = sorted(folder.iterdir())
    done = run_ingest(folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"neuronedit ingest: {folder / 'b.fcs'}: the FCS file is empty (0 bytes). Export or copy it again."
    )
    assert done.stdout == ""
    assert sorted(folder.iterdir()) == before


def test_quarantine_goes_on_without_unreadable_files_and_exits_with_3(folder):
    (folder / "a.fcs").write_bytes(b"not FCS at all")
    done = run_ingest(folder, "on_error=quarantine")
    cells = folder / "cells"
    assert done.returncode == 3, done.stderr
    lines = [f"{cells}: 20 events of 1 files", f"quarantined 1 files: see {cells}/_quarantine.json"]
    assert done.stdout.splitlines() == lines
    (entry,) = json.loads((cells / "_quarantine.json").read_text())
    assert entry["file"] == "a.fcs"
    assert entry["reason"].startswith(f"{folder / 'a.fcs'}: expected an FCS file of version 2.0, 3.0, 3.1, 3.2; found")
    assert ds.dataset(cells).to_table()["sample_id"].to_pylist() == ["s2"] * 20


def test_a_file_that_promises_more_than_it_has_is_quarantined(folder):
    promises = {"$BEGINANALYSIS": "58", "$ENDANALYSIS": "1000000000000"}
    (folder / "a.fcs").write_bytes(fcs_bytes(np.float32(events(0)), CHANNELS, keywords=promises))
    report = ingest(settings(folder, on_error="quarantine"))
    assert (report.files, report.quarantined) == (1, ("a.fcs",))
    (entry,) = json.loads((folder / "cells/_quarantine.json").read_text())
    assert "expected at least 1000000000000 bytes, as $ENDANALYSIS says; found" in entry["reason"]


def test_quarantine_of_every_file_is_an_error(folder):
    (folder / "a.fcs").write_bytes(b"")
    (folder / "b.fcs").write_bytes(b"")
    parts = ["samples.csv: none of the 2 FCS files could be used; the first:", "a.fcs: the FCS file is empty"]
    refuses(DataError, folder, *parts, on_error="quarantine")


def test_quarantine_takes_a_whole_file_of_another_panel(folder):
    write_float_fcs(folder / "b.fcs", events(1), CHANNELS, ["", "CD20", "CD4"])
    report = ingest(settings(folder, on_error="quarantine"))
    assert (report.files, report.events, report.quarantined) == (1, 20, ("b.fcs",))
    assert [path.name for path in (folder / "cells").glob("*.parquet")] == ["s_1.parquet"]
    (entry,) = json.loads((folder / "cells/_quarantine.json").read_text())
    assert "it lacks 'CD19' and it adds 'CD20'" in entry["reason"]


def test_quarantine_leaves_nothing_of_a_file_that_fails_midway(folder, monkeypatch):
    monkeypatch.setattr(data, "BLOCK_EVENTS", 8)
    values = events(1)
    values[17, 1] = np.nan
    write_float_fcs(folder / "b.fcs", values, CHANNELS, MARKERS)
    report = ingest(settings(folder, on_error="quarantine"))
    assert report.quarantined == ("b.fcs",)
    assert sorted(path.name for path in (folder / "cells").iterdir()) == [
        "_manifest.json",
        "_quarantine.json",
        "_receipts",
        "s_1.parquet",
    ]
    (entry,) = json.loads((folder / "cells/_quarantine.json").read_text())
    assert "channel 'Nd142Di' has nan at event 18. Remove such events" in entry["reason"]


def test_an_output_that_exists_is_refused(folder):
    ingest(settings(folder))
    parts = [f"{folder / 'cells'}: the output exists and is not empty.", "overwrite = true to replace it", "resume ="]
    refuses(OutputError, folder, *parts)


def test_overwrite_replaces_an_earlier_ingest_and_leaves_nothing_of_it(folder):
    ingest(settings(folder))
    (folder / "samples.csv").write_text("file,sample_id,batch_id\nb.fcs,other,b2\n")
    report = ingest(settings(folder, overwrite=True))
    assert (report.files, report.events, report.quarantined) == (1, 20, ())
    assert sorted(tree(folder / "cells")) == ["_manifest.json", "_receipts/other.parquet.json", "other.parquet"]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_failed_overwrite_leaves_the_earlier_output_as_it_was(folder):
    ingest(settings(folder))
    before = tree(folder / "cells")
    (folder / "b.fcs").write_bytes(b"")
    refuses(DataError, folder, "is empty", overwrite=True)
    assert tree(folder / "cells") == before


@pytest.mark.parametrize("record", [None, "{}", "no JSON", '{"job": "transform", "written": []}'])
def test_overwrite_spares_a_folder_that_no_ingest_wrote(folder, record):
    (folder / "cells").mkdir()
    (folder / "cells" / "thesis.doc").touch()
    if record is not None:
        (folder / "cells" / "_ingest.json").write_text(record)
    found = "found no _ingest.json of one" if record else "found also 'thesis.doc'. Nothing was touched"
    refuses(OutputError, folder, "expected", found, overwrite=True)


def test_overwrite_spares_files_that_were_added_to_an_ingest(folder):
    ingest(settings(folder))
    (folder / "cells" / "notes.txt").touch()
    parts = ["expected what neuronedit wrote there and nothing else; found also 'notes.txt'", "move it elsewhere"]
    refuses(OutputError, folder, *parts, overwrite=True)


@pytest.fixture
def of_an_earlier_version(folder):
    """The output of an ingest of that version."""
    with staged_folder(folder / "cells", "_ingest.json", overwrite=False) as staging:
        (staging / "old.parquet").write_bytes(b"PAR1")
        (staging / "_quarantine.json").write_text("[]")
        write_record(staging, "_ingest.json", {"files": []})
    return folder


def test_an_ingest_of_an_earlier_version_is_replaced_whole(of_an_earlier_version):
    refuses(OutputError, of_an_earlier_version, "the output exists and is not empty", "overwrite = true to replace it")
    refuses(OutputError, of_an_earlier_version, "cannot be resumed. Set overwrite = true to replace it", resume=True)
    ingest(settings(of_an_earlier_version, overwrite=True))
    assert sorted(path.name for path in (of_an_earlier_version / "cells").iterdir()) == [
        "_manifest.json",
        "_receipts",
        "s2.parquet",
        "s_1.parquet",
    ]
    assert not [path.name for path in of_an_earlier_version.iterdir() if path.name.startswith(".")]


def test_files_that_were_added_to_an_ingest_of_an_earlier_version_are_spared(of_an_earlier_version):
    (of_an_earlier_version / "cells" / "notes.txt").touch()
    parts = ["holds files that the earlier ingest did not write: 'notes.txt'", "Move them elsewhere"]
    refuses(OutputError, of_an_earlier_version, *parts, overwrite=True)


def test_what_a_transform_wrote_is_not_replaced(folder):
    ingest(settings(folder))
    manifest = folder / "cells" / "_manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"job": "transform"}))
    refuses(OutputError, folder, "cells: expected an output of ingest; found one of transform", overwrite=True)


@pytest.mark.parametrize("changes", [{"sample_sheet": "s3://b/samples.csv"}, {"fcs_folder": "gs://bucket/fcs"}])
def test_fcs_files_at_a_uri_are_refused_with_a_way_on(folder, changes):
    ((setting, uri),) = changes.items()
    parts = [f"{uri}: expected {setting} to be a path; found a URI.", "copy them to one, or mount the storage as one."]
    refuses(DataError, folder, *parts, **changes)
    (folder / "samples.csv").write_text("file,sample_id,batch_id\na.fcs,s1,b1\ns3://b/b.fcs,s2,b1\n")
    refuses(DataError, folder, "samples.csv, line 3: expected s3://b/b.fcs to be a path; found a URI")


def test_an_output_that_cannot_be_made_is_refused(folder):
    parts = ["a.fcs/cells: the storage does not do as asked (", "A file is where a folder is needed"]
    refuses(StorageError, folder, *parts, output=str(folder / "a.fcs/cells"))
