"""The channels of FCS files: what each file says of them, what differs between files, and a panel to fill in."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neuronedit.adapters.fcs.columns import labels_of
from neuronedit.adapters.fcs.file import FcsFile
from neuronedit.cells.compensation import read_spillover, spillover_keywords
from neuronedit.cells.names import comparable, no_markers
from neuronedit.cells.panel import FLUORESCENCE_COFACTOR, IGNORE
from neuronedit.cells.transforms import MASS_COFACTOR, Arcsinh
from neuronedit.errors import DataError, listing


@dataclass(frozen=True)
class ListedChannel:
    """One channel of some files.

    Attributes:
        name: The detector, $PnN.
        files: The files that have it.
        labels: The files by their label, $PnS; an empty one where a file has none.
        ranges: The files by their range, $PnR.
        gains: The files by the gain that is divided out, $PnG.
    """

    name: str
    files: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]
    ranges: Mapping[float, Sequence[str]]
    gains: Mapping[float, Sequence[str]]

    @property
    def marker(self) -> str:
        """The label that most files give it; empty where none does."""
        told = {label: files for label, files in self.labels.items() if label}
        return max(told, key=lambda label: len(told[label]), default="")


def list_channels(files: Mapping[str, FcsFile]) -> list[ListedChannel]:
    """List the channels of files, in the order in which they appear; names that look alike are one."""
    named: dict[str, str] = {}
    having: dict[str, list[str]] = {}
    labels: dict[str, dict[str, list[str]]] = {}
    ranges: dict[str, dict[float, list[str]]] = {}
    gains: dict[str, dict[float, list[str]]] = {}
    for file, fcs in files.items():
        told = labels_of(fcs)
        for channel in fcs.described:
            key = comparable(channel.name)
            named.setdefault(key, channel.name)
            having.setdefault(key, []).append(file)
            labels.setdefault(key, {}).setdefault(comparable(told.get(channel.name, "")), []).append(file)
            ranges.setdefault(key, {}).setdefault(channel.range, []).append(file)
            gains.setdefault(key, {}).setdefault(channel.divisor, []).append(file)
    return [
        ListedChannel(name, tuple(having[key]), labels[key], ranges[key], gains[key]) for key, name in named.items()
    ]


def channel_table(channels: Sequence[ListedChannel], n_files: int) -> list[str]:
    """Write a line for each channel, below a line of headings: name, label, range, gain, and how many files have it."""
    rows = [("channel", "label", "range", "gain", "files")]
    for channel in channels:
        labels = " | ".join(label or "-" for label in channel.labels)
        ranges, gains = _span(channel.ranges), _span(channel.gains)
        rows.append((channel.name, labels, ranges, gains, f"{len(channel.files)} of {n_files}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def differences(files: Mapping[str, FcsFile], channels: Sequence[ListedChannel]) -> list[str]:
    """Say what differs between files: channels, labels, gains and matrices."""
    found = []
    for channel in channels:
        absent = [file for file in files if file not in channel.files]
        if absent:
            found.append(f"channel {channel.name!r} is missing in {listing(absent)}")
        if len(channel.labels) > 1:
            shown = "; ".join(
                f"{label or 'none'} in {listing(named, limit=3)}" for label, named in channel.labels.items()
            )
            found.append(f"channel {channel.name!r} has different labels: {shown}")
        if len(channel.gains) > 1:
            shown = "; ".join(f"{gain:g} in {listing(named, limit=3)}" for gain, named in channel.gains.items())
            found.append(f"channel {channel.name!r} has different gains: {shown}")
    matrices: dict[str, list[str]] = {}
    for file, fcs in files.items():
        matrices.setdefault(_matrix(fcs), []).append(file)
    if len(matrices) > 1:
        found.append("; ".join(f"{kind} in {listing(named)}" for kind, named in matrices.items()))
    return found


def panel_text(channels: Sequence[ListedChannel]) -> str:
    """Write a panel to fill in: a line for each channel that may measure a marker, with its commonest label.

    Left out are time, scatter and the like, and the height and width of a pulse whose area is there. The cofactor is
    that of fluorescence where there is scatter, and of mass cytometry elsewhere. The role of channels without a label
    is ``ignore``, where others have one.
    """
    names = [channel.name for channel in channels]
    scatter = [name for name in no_markers(names) if name[:2].casefold() in ("fs", "ss")]
    cofactor = FLUORESCENCE_COFACTOR if scatter else MASS_COFACTOR
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["channel", "marker", "role", "transform", "cofactor"])
    taken: set[str] = set()
    labelled = any(channel.marker for channel in channels if not no_markers([channel.name, channel.marker]))
    for channel in channels:
        pulse, _, part = channel.name.rpartition("-")
        if no_markers([channel.name, channel.marker]) or (part in ("H", "W") and f"{pulse}-A" in names):
            continue
        again = channel.marker and comparable(channel.marker) in taken
        taken.add(comparable(channel.marker))
        marker = f"{channel.marker} ({channel.name})" if again else channel.marker
        role = IGNORE if labelled and not marker else ""
        writer.writerow([channel.name, marker, role, Arcsinh.name, f"{cofactor:g}"])
    return text.getvalue()


def _span(values: Iterable[float]) -> str:
    """The one number, or the least and the greatest of several; a dash where there is none."""
    told = sorted(value for value in values if value)
    if not told:
        return "-"
    return f"{told[0]:.10g}" if len(told) == 1 else f"{told[0]:.10g} to {told[-1]:.10g}"


def _matrix(fcs: FcsFile) -> str:
    names = spillover_keywords(fcs.keywords)
    if not names:
        return "no spillover matrix"
    try:
        spillover = read_spillover(fcs.keywords, str(fcs.path))
    except DataError:
        return f"a spillover matrix that cannot be read ({names[0]})"
    kind = "the identity as spillover matrix" if spillover.is_identity else "a spillover matrix"
    return f"{kind} of {len(spillover.channels)} channels ({spillover.source})"
