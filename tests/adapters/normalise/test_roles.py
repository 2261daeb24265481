"""The roles of a sheet's samples: the design that follows, and what a sheet may lack."""

import re
from pathlib import Path

import pytest

from neuronedit.adapters.fcs.sample_sheet import SheetRow
from neuronedit.adapters.normalise.roles import Roles
from neuronedit.errors import DataError


def rows(*samples: tuple[str, str]) -> list[SheetRow]:
    """Sheet rows of batches and roles."""
    return [
        SheetRow(Path(f"{number}.fcs"), {"sample_id": str(number), "batch_id": batch, "role": role})
        for number, (batch, role) in enumerate(samples)
    ]


TWO_DAYS = rows(("day1", "control"), ("day1", "patient"), ("day2", "control"), ("day2", "relapse"), ("day2", ""))


def test_samples_that_are_no_controls_are_trained_on_too() -> None:
    design = Roles("role", "control").design(TWO_DAYS, "day1", "s.csv")
    assert (design.control, design.reference) == ({"role": "control"}, "day1")
    assert design.extrapolation == {"role": ["patient", "relapse"]}


def test_samples_that_are_held_out_are_not_trained_on() -> None:
    samples = [*TWO_DAYS, *rows(("day1", "twice"), ("day2", "twice"))]
    roles = Roles("role", "control", "twice")
    assert roles.design(samples, "day1", "s.csv").extrapolation == {"role": ["patient", "relapse"]}
    assert roles.held_out_where == {"role": "twice"}


def test_without_controls_all_samples_of_a_batch_stand_for_one_and_that_is_said() -> None:
    sheet = [SheetRow(row.path, {key: row.labels[key] for key in ("sample_id", "batch_id")}) for row in TWO_DAYS]
    design = Roles("role", "none").design(sheet, "pooled", "s.csv")
    assert (design.control, design.extrapolation, design.reference) == ({}, {}, "pooled")
    assert "what differs between batches in biology" in design.caution
    assert not Roles("role", "control").design(TWO_DAYS, "day1", "s.csv").caution


def with_donors(*donors: str) -> list[SheetRow]:
    """The sheet of two days, with the donor of each sample."""
    return [SheetRow(row.path, {**row.labels, "donor": donor}) for row, donor in zip(TWO_DAYS, donors, strict=True)]


@pytest.mark.parametrize(
    ("sheet", "column"),
    [
        (TWO_DAYS, None),
        (with_donors("P1", "P2", "P1", "P3", "P4"), "donor"),
        (with_donors("P1", "", "P1", "", ""), "donor"),
        (with_donors("P1", "P2", "", "P3", "P4"), None),
    ],
    ids=["no column", "all", "of controls", "not of a control"],
)
def test_donors_are_left_out_in_turn_where_the_sheet_tells_that_of_each_control(sheet, column) -> None:
    assert Roles("role", "control").design(sheet, "day1", "s.csv").sample_column == column


def test_without_controls_every_sample_must_have_a_donor_for_donors_to_be_left_out() -> None:
    for donors, column in ((("P1", "P2", "P1", "P3", "P4"), "donor"), (("P1", "", "P1", "P3", "P4"), None)):
        assert Roles("role", "none").design(with_donors(*donors), "day1", "s.csv").sample_column == column


@pytest.mark.parametrize(
    ("samples", "roles", "reference", "message"),
    [
        (
            TWO_DAYS,
            Roles("role", "control", "control"),
            "day1",
            "s.csv: 'control' is the word for controls, which are learned from, so they cannot be held out. Give other "
            "samples that were measured in several batches a word of their own, or leave held_out out.",
        ),
        (
            rows(("day1", "control")),
            Roles("role", "control"),
            "day1",
            "s.csv: expected samples of at least 2 batches; found 'day1' in the column 'batch_id'. Say in it which "
            "samples were measured together.",
        ),
        (
            TWO_DAYS,
            Roles("role", "control"),
            "Day1",
            "s.csv: the reference 'Day1' is no batch of the sheet (batches: 'day1', 'day2'; nearest name 'day1'). "
            "Correct it, or give 'pooled'.",
        ),
        (
            TWO_DAYS,
            Roles("rolle", "control"),
            "day1",
            "s.csv: column 'rolle' is missing (found 'sample_id', 'batch_id', 'role'; nearest name 'role'). Add it, "
            "with 'control' for the control of each batch; or name another with role_column; or say controls = none.",
        ),
        (
            TWO_DAYS,
            Roles("role", "controls"),
            "day1",
            "s.csv: no sample has 'controls' in the column 'role' (found 'control', 'patient', 'relapse', ''; nearest "
            "name 'control'). Correct the sheet, or controls and held_out.",
        ),
        (
            [*TWO_DAYS, *rows(("day3", "patient"))],
            Roles("role", "control"),
            "day1",
            "s.csv: batch 'day3' has no control (no sample with role = control), so nothing says how it differs from "
            "the others. Add its control, or take its samples out of the sheet; or say controls = none, and all "
            "samples of a batch stand for its control.",
        ),
        (
            TWO_DAYS,
            Roles("role", "control", "relapse"),
            "day1",
            "s.csv: samples with role = relapse are in 'day2'; expected them in the reference 'day1' and in another "
            "batch, as what is held out is compared with its own measurement there. Leave held_out out, or correct "
            "the sheet.",
        ),
        (
            TWO_DAYS,
            Roles("role", "none", "patient"),
            "day1",
            "s.csv: samples that were measured in several batches are controls, so none can be held out where there "
            "are no controls. Give 'patient' as controls, or leave it out.",
        ),
    ],
    ids=[
        "held out controls",
        "one batch",
        "reference",
        "column",
        "word",
        "batch without a control",
        "held out",
        "held out, no controls",
    ],
)
def test_what_a_sheet_lacks_is_told(samples: list[SheetRow], roles: Roles, reference: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        roles.design(samples, reference, "s.csv")
