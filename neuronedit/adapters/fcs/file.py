"""FCS files (Flow Cytometry Standard 2.0 to 3.2): channels, marker names and raw intensities."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuronedit.adapters.fcs.data import Offsets, Segment, find_segment, read_blocks
from neuronedit.adapters.fcs.layout import Channel, read_channels
from neuronedit.adapters.fcs.text import DataSet, next_data_set, read_text, whole_number
from neuronedit.arrays import Float64s, Floats
from neuronedit.errors import DataError, listing


@dataclass(frozen=True)
class FcsFile:
    """One data set of an FCS file: what its TEXT says, and where its events lie.

    Attributes:
        path: The file.
        version: ``2.0``, ``3.0``, ``3.1`` or ``3.2``.
        channels: Detector names ($PnN), unique.
        markers: For each channel the stained protein ($PnS), or the channel's name where there is none; unique.
        described: Each channel's keywords.
        keywords: All of TEXT: values by name, in capitals and with their ``$``.
        notes: Oddities of the file that a user should know of.
        segment: Where the events lie.
    """

    path: Path
    version: str
    channels: tuple[str, ...]
    markers: tuple[str, ...]
    described: tuple[Channel, ...]
    keywords: dict[str, str]
    notes: tuple[str, ...]
    segment: Segment

    @property
    def n_events(self) -> int:
        """The number of events."""
        return self.segment.n_events

    @property
    def dtype(self) -> type[np.floating]:
        """The precision that intensities need: float64 where a channel has it, or else float32."""
        return np.float64 if any(channel.kind == "D" for channel in self.described) else np.float32

    @property
    def intensities(self) -> Floats:
        """(n_events, n_channels) raw linear intensities, all in memory."""
        with np.errstate(over="ignore"):
            return np.concatenate([block.astype(self.dtype) for block in self.blocks()])

    def blocks(self) -> Iterator[Float64s]:
        """Read the events: raw linear intensities, (n_events, n_channels) of a block; blocks are 64 MiB at most.

        Integers are masked to their range ($PnR) and made linear ($PnE); gains ($PnG) of linear channels are divided
        out, and time becomes seconds ($TIMESTEP), as FCS 3.1 asks. An amplification that is stated for floating-point
        data is ignored: such data is linear by the standard. Values that are not finite stay so.

        Raises:
            DataError: The file cannot be read, or has become shorter.
        """
        try:
            with self.path.open("rb") as file:
                yield from read_blocks(file, self.segment, self.described, str(self.path))
        except OSError as error:
            raise _unreadable(self.path, error) from error


def read_fcs(path: str | Path, *, data_set: int | None = None, offsets: Offsets = "auto") -> FcsFile:
    """Read what an FCS file says of its events; these are read by ``FcsFile.blocks``, or ``intensities``.

    Args:
        path: The file.
        data_set: Its data set, counted from 1; by default the first, with a note where there are more.
        offsets: Where DATA lies, if HEADER and TEXT differ; see ``find_segment``.

    Raises:
        DataError: The file is not FCS, is damaged, has no events, repeats a channel, or lacks the data set.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found, rest = read_text(file, size, 0, str(path)), 0
            for _ in range((data_set or 1) - 1):
                start = next_data_set(file, size, found)
                if start is None:
                    raise DataError(
                        f"{path}: expected data set {data_set}, as data_set says; the FCS file has {rest + 1}. "
                        "Correct the setting."
                    )
                found, rest = read_text(file, size, start, str(path)), rest + 1
            more = next_data_set(file, size, found) is not None
    except OSError as error:
        raise _unreadable(path, error) from error
    if more and data_set is None:
        found.notes.append("$NEXTDATA leads to a further data set: the first is read; data_set = 2 reads the next")
    _check_analysis(found, size, str(path))
    described = read_channels(found, str(path))
    segment = find_segment(found, described, size, offsets, str(path))
    channels = tuple(channel.name for channel in described)
    markers = _marker_names(path, channels, [channel.label for channel in described])
    return FcsFile(path, found.version, channels, markers, described, found.keywords, tuple(found.notes), segment)


def check_finite(where: str, names: Sequence[str], intensities: Floats, first: int) -> None:
    """Check that every intensity is a finite number: (n_events, n_channels).

    Args:
        where: The file, for the message.
        names: (n_channels,).
        intensities: A block of the file's.
        first: The number of its first event in the file, from 1.

    Raises:
        DataError: One is not; names the channel and the first such event.
    """
    wrong = ~np.isfinite(intensities)
    if not wrong.any():
        return
    event, column = np.argwhere(wrong)[0]
    raise DataError(
        f"{where}: expected finite intensities; channel {names[column]!r} has {intensities[event, column]} at event "
        f"{first + event}. Remove such events, export the file again, or leave the channel out with a panel."
    )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: the FCS file cannot be read ({error.strerror}). Check the path.")


def _check_analysis(found: DataSet, size: int, where: str) -> None:
    """ANALYSIS is not read; but where it ends behind the file's end, the file was cut."""
    end = whole_number(found.keywords.get("$ENDANALYSIS", "")) or 0
    if end > size - found.start:
        raise DataError(
            f"{where}: the FCS file is damaged or truncated: expected at least {found.start + end} bytes, as "
            f"$ENDANALYSIS says; found {size}. Copy or export it again."
        )


def _marker_names(path: Path, channels: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    names = [label or channel for label, channel in zip(labels, channels, strict=True)]
    counts = Counter(names)
    # Flow cytometers label area, height and width of a detector alike.
    markers = tuple(
        f"{name} ({channel})" if counts[name] > 1 and name != channel else name
        for name, channel in zip(names, channels, strict=True)
    )
    repeated = [marker for marker, count in Counter(markers).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: expected unique marker names ($PnS); {listing(repeated)} stands more than once.")
    return markers
