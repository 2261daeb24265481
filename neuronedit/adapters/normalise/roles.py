"""The roles of a sheet's samples: which are controls, which are held out, and which a model may learn from beside."""

from collections.abc import Sequence
from dataclasses import dataclass

from neuronedit.adapters.fcs.sample_sheet import SheetRow
from neuronedit.cells.design import POOLED, ControlsDesign
from neuronedit.cells.selection import Where
from neuronedit.errors import DataError, listing, nearest_name

BATCH = "batch_id"
DONOR = "donor"

NO_CONTROLS = "none"
"""Stands for a control: there is none, and all samples of a batch stand for one."""


@dataclass(frozen=True)
class Roles:
    """The words of a sample sheet for what its samples are.

    Attributes:
        column: The sheet's column that has them.
        control: The word for the control of each batch; ``none`` where there are no controls.
        held_out: The word for samples that were measured in several batches and are not learned from; None for none.
    """

    column: str
    control: str
    held_out: str | None = None

    def design(self, rows: Sequence[SheetRow], reference: str, sheet: str) -> ControlsDesign:
        """Make the design that the samples allow: samples that are neither control nor held out are trained on, too.

        Args:
            rows: The sheet's rows.
            reference: The batch that others are led to, or ``pooled``.
            sheet: The sheet's path, for messages.

        Raises:
            DataError: The sheet does not have what the design asks for.
        """
        batches = list(dict.fromkeys(row.labels[BATCH] for row in rows))
        if len(batches) < 2:
            raise DataError(
                f"{sheet}: expected samples of at least 2 batches; found {listing(batches)} in the column {BATCH!r}. "
                "Say in it which samples were measured together."
            )
        if reference != POOLED and reference not in batches:
            raise DataError(
                f"{sheet}: the reference {reference!r} is no batch of the sheet (batches: {listing(batches)}"
                f"{nearest_name(reference, batches)}). Correct it, or give 'pooled'."
            )
        if self.control == NO_CONTROLS:
            if self.held_out is not None:
                raise DataError(
                    f"{sheet}: samples that were measured in several batches are controls, so none can be held out "
                    f"where there are no controls. Give {self.held_out!r} as controls, or leave it out."
                )
            return ControlsDesign(
                batch_column=BATCH, control={}, reference=reference, sample_column=self._sample_column(rows)
            )
        self._check_words(rows, sheet)
        self._check_controls(rows, batches, sheet)
        self._check_held_out(rows, reference, sheet)
        words = dict.fromkeys(row.labels[self.column] for row in rows)
        others = [word for word in words if word not in ("", self.control, self.held_out)]
        extrapolation: Where = {self.column: [*others]} if others else {}
        return ControlsDesign(
            batch_column=BATCH,
            control={self.column: self.control},
            reference=reference,
            extrapolation=extrapolation,
            sample_column=self._sample_column(rows),
        )

    @property
    def held_out_where(self) -> Where:
        """The choice of the samples that are held out; empty for none."""
        return {self.column: self.held_out} if self.held_out is not None else {}

    def _sample_column(self, rows: Sequence[SheetRow]) -> str | None:
        """The column of donors, where the sheet tells that of each control: they are left out in turn."""
        controls = [row.labels for row in rows if self.control in (NO_CONTROLS, row.labels.get(self.column))]
        return DONOR if all(labels.get(DONOR) for labels in controls) else None

    def _check_words(self, rows: Sequence[SheetRow], sheet: str) -> None:
        columns = list(rows[0].labels)
        if self.column not in columns:
            raise DataError(
                f"{sheet}: column {self.column!r} is missing (found {listing(columns)}"
                f"{nearest_name(self.column, columns)}). Add it, with {self.control!r} for the control of each batch; "
                "or name another with role_column; or say controls = none."
            )
        words = list(dict.fromkeys(row.labels[self.column] for row in rows))
        for word in filter(None, (self.control, self.held_out)):
            if word not in words:
                raise DataError(
                    f"{sheet}: no sample has {word!r} in the column {self.column!r} (found {listing(words)}"
                    f"{nearest_name(word, words)}). Correct the sheet, or controls and held_out."
                )

    def _check_controls(self, rows: Sequence[SheetRow], batches: Sequence[str], sheet: str) -> None:
        having = self._batches(rows, self.control)
        if without := [batch for batch in batches if batch not in having]:
            raise DataError(
                f"{sheet}: batch {listing(without)} has no control (no sample with {self.column} = {self.control}), so "
                "nothing says how it differs from the others. Add its control, or take its samples out of the sheet; "
                "or say controls = none, and all samples of a batch stand for its control."
            )

    def _check_held_out(self, rows: Sequence[SheetRow], reference: str, sheet: str) -> None:
        if self.held_out is None:
            return
        if self.held_out == self.control:
            raise DataError(
                f"{sheet}: {self.control!r} is the word for controls, which are learned from, so they cannot be held "
                "out. Give other samples that were measured in several batches a word of their own, or leave held_out "
                "out."
            )
        having = self._batches(rows, self.held_out)
        if len(having) < 2 or reference not in (POOLED, *having):
            raise DataError(
                f"{sheet}: samples with {self.column} = {self.held_out} are in {listing(having)}; expected them in the "
                f"reference {reference!r} and in another batch, as what is held out is compared with its own "
                "measurement there. Leave held_out out, or correct the sheet."
            )

    def _batches(self, rows: Sequence[SheetRow], word: str) -> list[str]:
        return list(dict.fromkeys(row.labels[BATCH] for row in rows if row.labels[self.column] == word))
