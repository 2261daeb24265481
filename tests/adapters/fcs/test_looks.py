"""What an ingest says of files that can be read and look wrong."""

import json
import logging

import numpy as np
import pyarrow.parquet as pq
import pytest
from neuronedit_jobs.ingest import IngestConfig

from neuronedit.adapters.fcs.looks import Findings
from neuronedit.errors import ConfigError, DataError, PanelError
from tests.adapters.ingesting import ingest
from tests.fcs_files import fcs_bytes

CHANNELS = ["FSC-A", "FITC-A", "PE-A", "APC-A", "Time"]
LABELS = ["", "CD3", "CD4", "CD8", ""]
PANEL = "channel,marker,cofactor\nFITC-A,CD3,150\nPE-A,CD4,150\nAPC-A,CD8,150\n"
MATRIX = np.array([[1, 0.2, 0.05], [0.1, 1, 0.15], [0.02, 0.03, 1]])


def true_events(seed=0):
    return np.random.default_rng(seed).lognormal(6, 1, (50, 5)).astype(np.float32)


def spilled(seed=0):
    events = true_events(seed)
    events[:, 1:4] = events[:, 1:4] @ MATRIX
    return events


def spill(names, matrix=MATRIX):
    return ",".join([str(len(names)), *names, *(f"{value:g}" for value in np.ravel(matrix))])


class Folder:
    """FCS files, and what an ingest of them says."""

    def __init__(self, path, caplog):
        self.path, self.caplog, self.rows = path, caplog, []

    def add(self, name, events, channels=CHANNELS, labels=LABELS, batch="1", **keywords):
        text = {f"$P{n}S": label for n, label in enumerate(labels, start=1) if label}
        text |= {key.replace("_", "$", 1) if key.startswith("_") else key: value for key, value in keywords.items()}
        content = fcs_bytes(np.asarray(events, np.float32), channels, keywords=text, version="3.1")
        (self.path / name).write_bytes(content)
        self.rows.append((name, name.split(".")[0], batch, "control"))
        return self

    def ingest(self, panel=PANEL, **settings):
        sheet = self.path / "samples.csv"
        lines = ["file,sample_id,batch_id,role", *(",".join(row) for row in self.rows)]
        sheet.write_text("\n".join(lines) + "\n")
        values = {"sample_sheet": str(sheet), "output": str(self.path / "cells")} | settings
        if panel:
            (self.path / "panel.csv").write_text(panel)
            values["panel"] = str(self.path / "panel.csv")
        with self.caplog.at_level(logging.WARNING):
            return ingest(IngestConfig.model_validate(values))

    @property
    def said(self):
        return [record.getMessage() for record in self.caplog.records]

    def table(self, name):
        return pq.read_table(self.path / "cells" / f"{name}.parquet")

    def values(self, name, column):
        return self.table(name)[column].to_numpy()


@pytest.fixture
def folder(tmp_path, caplog):
    return Folder(tmp_path, caplog)


def test_sound_files_are_read_without_a_word(folder):
    folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), batch="2").ingest()
    assert folder.said == []


class TestLabels:
    """The files' own names of what channels measure."""

    def test_a_label_that_is_another_marker_of_the_panel_is_refused(self, folder):
        folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), labels=["", "CD4", "CD3", "CD8", ""])
        message = (
            r"b\.fcs: the panel says that channel 'FITC-A' is 'CD3'; the file's own label \(\$PnS\) says 'CD4', which "
            r"the panel has as another marker\. Correct the panel, .* set labels = ignore\."
        )
        with pytest.raises(PanelError, match=message):
            folder.ingest()

    def test_a_panel_with_two_rows_swapped_is_refused(self, folder):
        folder.add("a.fcs", true_events())
        with pytest.raises(PanelError, match=r"channel 'FITC-A' is 'CD4'; the file's own label \(\$PnS\) says 'CD3'"):
            folder.ingest("channel,marker,cofactor\nFITC-A,CD4,150\nPE-A,CD3,150\nAPC-A,CD8,150\n")

    @pytest.mark.parametrize("label", ["152Sm_CD4", "CD4 BV421", "cd4", "CD4-FITC", "CD4/FITC"])
    def test_a_label_may_have_more_than_the_marker(self, folder, label):
        folder.add("a.fcs", true_events(), labels=["", label, "CD3", "", ""])
        with pytest.raises(PanelError, match="which the panel has as another marker"):
            folder.ingest()

    def test_where_labels_are_wrong_the_panel_can_be_followed(self, folder):
        folder.add("b.fcs", true_events(1), labels=["", "CD4", "CD3", "CD8", ""]).ingest(labels="ignore")
        np.testing.assert_array_equal(folder.values("b", "CD3"), true_events(1)[:, 1])
        assert folder.said == [
            "'b.fcs': the panel names channels otherwise than the file's own labels ($PnS) do, 'FITC-A: CD3, not CD4', "
            "'PE-A: CD4, not CD3'."
        ]

    def test_a_label_that_is_no_marker_of_the_panel_is_told(self, folder):
        folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), labels=["", "CD19", "CD4", "CD8", ""]).ingest()
        assert folder.said == [
            "'b.fcs': the panel names channels otherwise than the file's own labels ($PnS) do, 'FITC-A: CD3, not CD19'."
        ]

    @pytest.mark.parametrize("label", ["145Nd_CD3", "CD3 FITC", "cd3", "FITC-A", "C D3"])
    def test_a_label_that_says_the_same_is_not_told(self, folder, label):
        folder.add("a.fcs", true_events(), labels=["", label, "CD4", "CD8", ""]).ingest()
        assert folder.said == []

    def test_a_marker_on_another_detector_is_named(self, folder):
        moved = ["FSC-A", "BB515-A", "PE-A", "APC-A", "Time"]
        folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), channels=moved)
        message = (
            r"b\.fcs: channel 'FITC-A' is missing .* The file's own label of channel 'BB515-A' is 'CD3': leave the "
            r"channel of 'CD3' empty in the panel to find it by its label in each file\."
        )
        with pytest.raises(PanelError, match=message):
            folder.ingest()
        folder.ingest("channel,marker,cofactor\n,CD3,150\nPE-A,CD4,150\nAPC-A,CD8,150\n")
        np.testing.assert_array_equal(folder.values("b", "CD3"), true_events(1)[:, 1])

    @pytest.mark.parametrize(
        ("one", "other"), [("TNF-\u00b5", "TNF-\u03bc"), ("Zo\u00eb", "Zoe\u0308"), ("\u2126", "\u03a9")]
    )
    @pytest.mark.parametrize("panel", [True, False])
    def test_names_that_look_alike_are_the_same(self, folder, one, other, panel):
        folder.add("a.fcs", true_events(), labels=["", "CD3", one, "CD8", ""])
        folder.add("b.fcs", true_events(1), labels=["", "CD3", other, "CD8", ""])
        folder.ingest(f"marker,cofactor\nCD3,150\n{other},150\n" if panel else None)
        column = other if panel else one
        np.testing.assert_array_equal(folder.values("b", column), true_events(1)[:, 2])
        assert folder.table("a").column_names == folder.table("b").column_names


class TestCompensation:
    """Matrices that are there and not used, used and of no use, or not there."""

    def test_a_matrix_that_is_not_used_is_told(self, folder):
        folder.add("a.fcs", spilled(), SPILL=spill(CHANNELS[1:4])).add("b.fcs", true_events(1))
        folder.ingest()
        assert folder.said == [
            "'a.fcs': there is a spillover matrix (SPILL), which is not applied. Compensate with it (--compensate), or "
            "set compensate = false to say that the events need none."
        ]

    def test_who_says_that_none_is_needed_is_not_told(self, folder):
        folder.add("a.fcs", spilled(), SPILL=spill(CHANNELS[1:4])).ingest(compensate=False)
        assert folder.said == []

    def test_an_identity_that_is_not_used_is_not_told(self, folder):
        folder.add("a.fcs", true_events(), SPILL=spill(CHANNELS[1:4], np.eye(3))).ingest()
        assert folder.said == []

    @pytest.mark.parametrize("beside", [0, 1e-6])
    def test_an_identity_that_is_used_is_told_and_recorded_as_nothing(self, folder, beside):
        matrix = np.eye(3) + beside
        folder.add("a.fcs", true_events(), _SPILLOVER=spill(CHANNELS[1:4], matrix)).ingest(compensate=True)
        assert folder.said == [
            "'a.fcs': the spillover matrix ($SPILLOVER) is the identity: nothing is compensated. Give the matrix that "
            "was computed, --spillover matrix.csv, unless the events are unmixed or compensated already."
        ]
        assert json.loads(folder.table("a").schema.metadata[b"neuronedit"])["compensated"] is False

    def test_of_two_matrices_the_one_that_does_something_is_used_and_told(self, folder):
        identity, real = spill(CHANNELS[1:4], np.eye(3)), spill(CHANNELS[1:4])
        folder.add("a.fcs", spilled(), _SPILLOVER=identity, SPILL=real).ingest(compensate=True)
        np.testing.assert_allclose(folder.values("a", "CD4"), true_events()[:, 2], rtol=1e-3)
        assert folder.said == [
            "'a.fcs': of several spillover matrices, that of SPILL is applied; not those of '$SPILLOVER', which come "
            "later or are the identity."
        ]

    @pytest.mark.parametrize("names", [["2", "3", "4"], ["CD3", "CD4", "CD8"], CHANNELS[1:4]])
    def test_a_matrix_may_name_channels_by_number_or_marker(self, folder, names):
        folder.add("a.fcs", spilled(), SPILL=spill(names)).ingest(compensate=True)
        np.testing.assert_allclose(folder.values("a", "CD3"), true_events()[:, 1], rtol=1e-3)
        assert folder.said == []

    def test_a_file_without_a_matrix_is_told_of_the_way_to_give_one(self, folder):
        folder.add("a.fcs", spilled(), SPILL=spill(CHANNELS[1:4])).add("b.fcs", spilled(1))
        with pytest.raises(
            DataError, match=r"b\.fcs: expected a spillover matrix .* as a CSV: --spillover matrix\.csv"
        ):
            folder.ingest(compensate=True)

    def test_a_matrix_that_is_given_compensates_all_files(self, folder):
        matrix = folder.path / "matrix.csv"
        rows = [
            ",".join([name, *(f"{value:g}" for value in row)]) for name, row in zip(CHANNELS[1:4], MATRIX, strict=True)
        ]
        matrix.write_text("\n".join([",FITC-A :: CD3,PE-A :: CD4,APC-A :: CD8", *rows]) + "\n")
        folder.add("a.fcs", spilled(), SPILL=spill(CHANNELS[1:4], np.eye(3))).add("b.fcs", spilled(1))
        folder.ingest(spillover=str(matrix))
        for seed, name in enumerate("ab"):
            np.testing.assert_allclose(folder.values(name, "CD4"), true_events(seed)[:, 2], rtol=1e-3)
        assert folder.said == []
        assert json.loads(folder.table("b").schema.metadata[b"neuronedit"])["compensated"] is True

    def test_a_matrix_and_no_compensation_contradict_each_other(self):
        overrides = ["sample_sheet=s.csv", "output=cells", "spillover=m.csv", "compensate=false"]
        with pytest.raises(ConfigError, match=r"spillover is a matrix to compensate with, and compensate is false"):
            IngestConfig.load(None, overrides)


class TestTransformedBefore:
    """Files whose events are not raw."""

    @staticmethod
    def logicle(seed=0):
        events = true_events(seed)
        events[:, 1:4] = np.arcsinh(events[:, 1:4] / 150) / 2
        return events

    @pytest.mark.parametrize("keywords", [{}, {"transformation": "custom"}])
    def test_they_are_not_compensated(self, folder, keywords):
        folder.add("a.fcs", self.logicle(), SPILL=spill(CHANNELS[1:4]), **keywords)
        message = (
            r"a\.fcs: expected raw linear intensities to compensate; no value of its 3 channels is beyond \d\.\d+, so "
            r"they were transformed before.*\. Set compensate = false, or export the file raw\."
        )
        with pytest.raises(DataError, match=message):
            folder.ingest(compensate=True)

    @pytest.mark.parametrize("panel", [PANEL, None])
    def test_they_are_told(self, folder, panel):
        folder.add("a.fcs", self.logicle()).add("b.fcs", true_events(1)).ingest(panel)
        assert folder.said == [
            "'a.fcs': no value is beyond 12: they look transformed (arcsinh, logicle or log) before. Give them the "
            "transform linear in the panel, or export the files raw."
        ]

    def test_what_the_file_says_is_told_though_values_look_raw(self, folder):
        folder.add("a.fcs", true_events(), transformation="custom").ingest()
        assert folder.said == [
            "'a.fcs': TRANSFORMATION is 'custom': software says that it transformed these events, though their values "
            "look linear. Check whether they are raw."
        ]

    def test_flowcores_word_for_linear_values_is_not_told(self, folder):
        folder.add("a.fcs", true_events(), transformation="applied").ingest()
        assert folder.said == []

    def test_channels_that_were_compensated_before_are_not_compensated_again(self, folder):
        names = ["FSC-A", "Comp-FITC-A", "Comp-PE-A", "Comp-APC-A", "Time"]
        folder.add("a.fcs", true_events(), channels=names, SPILL=spill(names[1:4]))
        with pytest.raises(
            DataError, match=r"channel 'Comp-FITC-A' was compensated before, by its name\. Set compensate"
        ):
            folder.ingest("marker,cofactor\nCD3,150\n", compensate=True)


class TestGains:
    """Gains that are divided out."""

    def test_gains_of_floats_are_told(self, folder):
        folder.add("a.fcs", true_events(), _P2G="8", _P3G="1").ingest()
        np.testing.assert_array_equal(folder.values("a", "CD3"), true_events()[:, 1] / 8)
        assert folder.said == [
            "'a.fcs': gains ($PnG) are divided out of floating-point channels, 'FITC-A: 8'; flowCore (by default) and "
            "fcsparser leave them in."
        ]

    def test_gains_that_differ_between_files_are_told(self, folder):
        folder.add("a.fcs", true_events(), _P2G="1").add("b.fcs", true_events(1), _P2G="100").ingest()
        assert folder.said[0] == (
            "channel 'FITC-A': its gain ($PnG) differs between files: 1 in 'a.fcs'; 100 in 'b.fcs'. It is divided out; "
            "check that the instrument's values already grow with the gain."
        )


class TestPanelAndSheet:
    """What the panel and the sheet ask for that hardly anybody means."""

    def test_time_among_the_markers_is_told(self, folder):
        folder.add("a.fcs", true_events()).ingest(PANEL + "Time,Time,150\nFSC-A,FSC-A,150\n")
        assert folder.said == [
            f"{folder.path / 'panel.csv'}: 'Time', 'FSC-A': no marker by its name, and yet an edit would change it "
            f"like "
            "one. Take it out of the panel, unless that is meant."
        ]

    def test_the_cofactor_of_mass_cytometry_on_a_flow_cytometer_is_told(self, folder):
        folder.add("a.fcs", true_events()).ingest("channel,marker,cofactor\nFITC-A,CD3,\nPE-A,CD4,5\nAPC-A,CD8,150\n")
        assert folder.said == [
            "'a.fcs': the cofactor of 'CD3', 'CD4' is 5, that of mass cytometry, and channel 'FSC-A' is that of a flow "
            "cytometer, whose fluorescence needs about 150 (several thousands on spectral ones). Give it in the "
            "panel's column cofactor."
        ]

    def test_the_cofactor_of_mass_cytometry_on_a_mass_cytometer_is_not_told(self, folder):
        names = ["Time", "Y89Di", "Nd142Di", "Nd145Di", "Center"]
        folder.add("a.fcs", true_events(), channels=names).ingest("marker\nCD3\nCD4\n")
        assert folder.said == []

    def test_a_batch_without_a_control_is_told(self, folder):
        folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), batch="2")
        folder.rows[1] = ("b.fcs", "b", "2", "patient")
        folder.ingest()
        assert folder.said == [
            f"{folder.path / 'samples.csv'}: no control sample in batch '2': no edit can be learned for it from "
            f"controls, "
            "and transform will refuse its events. Add its control, or leave the batch out."
        ]

    def test_a_sheet_that_names_no_control_is_not_told(self, folder):
        folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), batch="2")
        folder.rows = [(*row[:3], "patient") for row in folder.rows]
        folder.ingest()
        assert folder.said == []


class TestPassengers:
    """Channels outside the panel."""

    @pytest.fixture
    def two(self, folder):
        more = np.column_stack([true_events(1), np.full(50, 7)])
        folder.add("a.fcs", true_events())
        return folder.add("b.fcs", more, channels=[*CHANNELS, "BV711-A"], labels=[*LABELS, ""])

    def test_those_that_not_all_files_have_are_left_out_and_told(self, two):
        two.ingest()
        assert two.table("a").column_names == two.table("b").column_names
        assert two.table("b").column_names[4:] == ["FSC-A", "CD3", "CD4", "CD8", "Time"]
        assert two.said == [
            "channels outside the panel that not all files have are left out: BV711-A ('b.fcs'). passengers = all "
            "keeps them, empty where a file has none."
        ]

    def test_all_can_be_kept(self, two):
        two.ingest(passengers="all")
        assert two.table("a")["BV711-A"].null_count == 50
        assert two.table("b")["BV711-A"].to_pylist() == [7] * 50
        assert two.table("a").schema.types == two.table("b").schema.types
        assert two.said == []

    def test_none_can_be_kept(self, two):
        two.ingest(passengers="none")
        assert two.table("b").column_names[4:] == ["CD3", "CD4", "CD8"]
        assert two.said == []

    def test_time_by_two_names_is_no_obstacle(self, folder):
        folder.add("a.fcs", true_events()).add("b.fcs", true_events(1), channels=[*CHANNELS[:4], "TIME"])
        folder.ingest()
        assert folder.table("b").column_names[4:] == ["FSC-A", "CD3", "CD4", "CD8"]

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite_stay(self, folder, value):
        events = np.column_stack([true_events(), np.full(50, value)])
        folder.add("a.fcs", events, channels=[*CHANNELS, "ratio"], labels=[*LABELS, ""]).ingest()
        np.testing.assert_array_equal(folder.values("a", "ratio"), np.full(50, value))

    def test_without_a_panel_the_message_names_it_as_the_way_out(self, folder):
        events = np.column_stack([true_events(), np.full(50, np.nan)])
        folder.add("a.fcs", events, channels=[*CHANNELS, "ratio"], labels=[*LABELS, ""])
        with pytest.raises(DataError, match=r"channel 'ratio' has nan at event 1\. .* leave the channel out .*panel"):
            folder.ingest(None)

    def test_a_marker_that_is_not_finite_is_refused(self, folder):
        events = true_events()
        events[3, 1] = np.nan
        folder.add("a.fcs", events)
        with pytest.raises(
            DataError, match=r"a\.fcs: expected finite intensities; channel 'FITC-A' has nan at event 4\. "
        ):
            folder.ingest()

    def test_passengers_without_a_panel_make_no_sense(self):
        with pytest.raises(ConfigError, match=r"passengers = all are channels outside a panel; give a panel"):
            IngestConfig.load(None, ["sample_sheet=s.csv", "output=cells", "passengers=all"])


def test_a_file_of_another_panel_is_quarantined_whole(folder):
    folder.add("a.fcs", true_events()).add(
        "b.fcs", true_events(1)[:, [0, 1, 2, 4]], ["FSC-A", "FITC-A", "PE-A", "Time"]
    )
    report = folder.ingest(on_error="quarantine")
    assert (report.files, report.quarantined) == (1, ("b.fcs",))
    assert folder.said[0].startswith("quarantined: ")
    assert "b.fcs: channel 'APC-A' is missing" in folder.said[0]
    assert sorted(path.name for path in (folder.path / "cells").glob("*.parquet")) == ["a.parquet"]


def test_oddities_of_files_are_told_with_their_names(folder):
    for name in ("a.fcs", "b.fcs"):
        folder.add(name, true_events(), _P2G="0")
    folder.ingest()
    assert folder.said == ["'a.fcs', 'b.fcs': $P2G is 0, which is no gain: nothing is divided out."]


def test_a_further_data_set_can_be_asked_for(folder):
    folder.add("a.fcs", true_events())
    first = fcs_bytes(true_events(1), CHANNELS, keywords={"$NEXTDATA": "00000000"})
    first = first.replace(b"$NEXTDATA|00000000", b"$NEXTDATA|%08d" % len(first))
    path = folder.path / "a.fcs"
    path.write_bytes(first + path.read_bytes())
    folder.ingest(data_set=2)
    np.testing.assert_array_equal(folder.values("a", "CD3"), true_events()[:, 1])


def test_many_findings_that_differ_in_numbers_only_are_one_message(folder):
    told = Findings()
    for number in range(10_000):
        told.add(f"{number}.fcs", f"HEADER says {number}, TEXT says 'x{number}'")
        told.add(f"{number}.fcs", f"$P{number % 4}G is 0")
    told.tell()
    first, *others = folder.said
    assert first == (
        "'0.fcs', '1.fcs', '2.fcs', '3.fcs', '4.fcs', '5.fcs', '6.fcs', '7.fcs' and 9992 more: HEADER says 0, TEXT "
        "says 'x0'. So in the first; the others differ in numbers or names."
    )
    assert [said.rpartition(": ")[2] for said in others] == [f"$P{n}G is 0." for n in range(4)], "few are told in full"
