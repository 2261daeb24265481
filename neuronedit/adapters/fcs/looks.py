"""What looks wrong with FCS files that can be read: seen before their intensities become a dataset."""

import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np

from neuronedit.adapters.fcs.columns import PanelFile, is_named, labels_of
from neuronedit.adapters.fcs.file import FcsFile
from neuronedit.arrays import Floats
from neuronedit.cells.compensation import Spillover, read_spillover, spillover_keywords
from neuronedit.cells.names import no_markers
from neuronedit.cells.panel import FLUORESCENCE_COFACTOR
from neuronedit.cells.transforms import MASS_COFACTOR, MAX_TRANSFORMED, Arcsinh
from neuronedit.errors import DataError, listing

log = logging.getLogger(__name__)

CONTROLS = ("control", "controls", "ctrl", "anchor", "reference", "technical_replicate")
"""Values of the sheet's column role that mean a control sample."""

_COMPENSATED = re.compile(r"(comp-|fjcomp-|<).*", re.IGNORECASE)
"""Names that FlowJo gives to compensated channels."""


MAX_ALIKE = 4
"""Findings that differ in their numbers and names only, and are still told one by one."""


class Findings:
    """What to tell at the end, once for all files that it is true of."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def add(self, file: str, text: str) -> None:
        """Note something of a file."""
        self._files.setdefault(text, []).append(file)

    @property
    def texts(self) -> tuple[str, ...]:
        """What was noted."""
        return tuple(self._files)

    def tell(self) -> None:
        """Log each finding with its files, and forget it; many that are alike are one."""
        kinds: dict[str, list[str]] = {}
        for text in self._files:
            kinds.setdefault(re.sub(r"'[^']*'|\d+", "", text), []).append(text)
        for alike in kinds.values():
            if len(alike) <= MAX_ALIKE:
                for text in alike:
                    log.warning("%s: %s.", listing(dict.fromkeys(self._files[text])), text)
            else:
                files = dict.fromkeys(file for text in alike for file in self._files[text])
                log.warning("%s: %s. So in the first; the others differ in numbers or names.", listing(files), alike[0])
        self._files.clear()


class KeywordsLook:
    """Looks at what the files' keywords say, each by itself and beside the others, of which it keeps the gains only."""

    def __init__(self, given: PanelFile | None, *, compensates: bool, silent: bool, told: Findings) -> None:
        """Begin.

        Args:
            given: The panel.
            compensates: Whether spillover will be undone.
            silent: Whether not to undo it was asked for.
            told: Where findings go.
        """
        self.given = given
        self.looks_for_a_matrix = not compensates and not silent
        self.told = told
        self._gains: dict[str, dict[float, list[str]]] = {}

    def look(self, name: str, fcs: FcsFile) -> None:
        """Look at a file, which has this name in the sheet."""
        for note in fcs.notes:
            self.told.add(name, note)
        if self.looks_for_a_matrix:
            _look_for_a_matrix(name, fcs, self.told)
        if self.given is not None:
            _look_at_cofactors(name, fcs, self.given, self.told)
        _look_at_gains(name, fcs, self.told)
        for channel in fcs.described:
            self._gains.setdefault(channel.name, {}).setdefault(channel.divisor, []).append(name)
        if self.given is not None:
            _look_at_labels(name, fcs, self.given, self.told)

    def tell(self) -> None:
        """Log all that was found."""
        for detector, found in self._gains.items():
            if len(found) > 1:
                shown = (f"{gain:g} in {listing(names, limit=3)}" for gain, names in found.items())
                log.warning(
                    "channel %r: its gain ($PnG) differs between files: %s. It is divided out; check that the "
                    "instrument's values already grow with the gain.",
                    detector,
                    "; ".join(shown),
                )
        self.told.tell()


def look_at_scale(
    name: str, fcs: FcsFile, block: Floats, channels: Sequence[str], compensates: bool, told: Findings
) -> None:
    """Look whether events were transformed before: by the file's keywords, and by their values.

    Args:
        name: The file's, in the sheet.
        fcs: The file.
        block: (n_events, n_channels) its first events, not compensated.
        channels: Names of its channels that hold intensities.
        compensates: Whether spillover will be undone, which transformed values do not allow.
        told: Where findings go.

    Raises:
        DataError: The values were transformed or compensated, and are to be compensated.
    """
    says = fcs.keywords.get("TRANSFORMATION", "").strip().casefold()
    columns = [column for column, channel in enumerate(fcs.channels) if channel in channels]
    floats = all(fcs.described[column].kind != "I" for column in columns)
    largest = float(np.nanmax(np.abs(block[:, columns]), initial=0.0)) if columns and floats else np.inf
    small = 0 < largest < MAX_TRANSFORMED
    before = [channel for channel in fcs.channels if _COMPENSATED.fullmatch(channel)]
    if compensates and (small or before):
        why = (
            f"channel {before[0]!r} was compensated before, by its name"
            if before
            else (
                f"no value of its {len(columns)} channels is beyond {largest:.3g}, so they were transformed before"
                + (f" (TRANSFORMATION {says})" if says else "")
            )
        )
        raise DataError(
            f"{fcs.path}: expected raw linear intensities to compensate; {why}. Set compensate = false, or export the "
            "file raw."
        )
    if small:
        told.add(
            name,
            f"no value is beyond {MAX_TRANSFORMED:g}: they look transformed (arcsinh, logicle or log) before. Give "
            "them the transform linear in the panel, or export the files raw",
        )
    elif says and says != "applied":  # flowCore's word for $PnE and $PnG
        told.add(
            name,
            f"TRANSFORMATION is {says!r}: software says that it transformed these events, though their values look "
            "linear. Check whether they are raw",
        )


def look_at_spillover(name: str, fcs: FcsFile, spillover: Spillover, told: Findings) -> None:
    """Look whether a matrix that is applied does anything, and whether the file has others."""
    others = [keyword for keyword in spillover_keywords(fcs.keywords) if keyword != spillover.source]
    if spillover.is_identity:
        told.add(
            name,
            f"the spillover matrix ({spillover.source}) is the identity: nothing is compensated. Give the matrix that "
            "was computed, --spillover matrix.csv, unless the events are unmixed or compensated already",
        )
    elif others and spillover.source in fcs.keywords:
        told.add(
            name,
            f"of several spillover matrices, that of {spillover.source} is applied; not those of {listing(others)}, "
            "which come later or are the identity",
        )


def look_at_batches(labels: Sequence[Mapping[str, str]], sheet: str) -> None:
    """Look whether every batch has a control, where the sheet's column role tells of any."""
    role = next((column for column in labels[0] if column.casefold() == "role"), None)
    if role is None:
        return
    batches = dict.fromkeys(row["batch_id"] for row in labels)
    controlled = {row["batch_id"] for row in labels if row[role].casefold() in CONTROLS}
    without = [batch for batch in batches if batch not in controlled]
    if controlled and without:
        log.warning(
            "%s: no control sample in batch %s: no edit can be learned for it from controls, and transform will refuse "
            "its events. Add its control, or leave the batch out.",
            sheet,
            listing(without),
        )


def _look_for_a_matrix(name: str, fcs: FcsFile, told: Findings) -> None:
    held = spillover_keywords(fcs.keywords)
    transformed = fcs.keywords.get("TRANSFORMATION", "").strip().casefold() == "custom"
    if not held or transformed or any(_COMPENSATED.fullmatch(channel) for channel in fcs.channels):
        return
    try:
        nothing = read_spillover(fcs.keywords, name).is_identity
    except DataError:
        nothing = False
    if not nothing:
        told.add(
            name,
            f"there is a spillover matrix ({held[0]}), which is not applied. Compensate with it (--compensate), or set "
            "compensate = false to say that the events need none",
        )


def _look_at_cofactors(name: str, fcs: FcsFile, given: PanelFile, told: Findings) -> None:
    scatter = [channel for channel in no_markers(fcs.channels) if re.match(r"(?i)[fs]sc?\b|[fs]sc?[ _\d-]", channel)]
    small = [
        marker
        for marker, transform in zip(given.panel.markers, given.panel.transforms, strict=True)
        if transform == Arcsinh(MASS_COFACTOR) and not no_markers([marker])
    ]
    if scatter and small:
        told.add(
            name,
            f"the cofactor of {listing(small)} is {MASS_COFACTOR:g}, that of mass cytometry, and channel "
            f"{scatter[0]!r} is that of a flow cytometer, whose fluorescence needs about "
            f"{FLUORESCENCE_COFACTOR:g} (several thousands on spectral ones). Give it in the panel's column cofactor",
        )


def _look_at_gains(name: str, fcs: FcsFile, told: Findings) -> None:
    divided = [channel for channel in fcs.described if channel.kind != "I" and channel.divisor != 1]
    if divided:
        told.add(
            name,
            "gains ($PnG) are divided out of floating-point channels, "
            f"{listing(f'{channel.name}: {channel.divisor:g}' for channel in divided)}; flowCore (by default) and "
            "fcsparser leave them in",
        )


def _look_at_labels(name: str, fcs: FcsFile, given: PanelFile, told: Findings) -> None:
    labels = labels_of(fcs)
    renamed = [
        f"{channel}: {marker}, not {labels[channel]}"
        for channel, marker in given.channels.items()
        if channel in labels and not is_named(marker, labels[channel])
    ]
    if renamed:
        told.add(name, f"the panel names channels otherwise than the file's own labels ($PnS) do, {listing(renamed)}")
