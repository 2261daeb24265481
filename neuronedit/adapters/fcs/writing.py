"""Writes FCS 3.1 files: events of Arrow tables are streamed as little-endian float32, with bounded memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from neuronedit.adapters.fcs.keywords import text_segment
from neuronedit.arrays import Float32s, Int64s, Masks
from neuronedit.cells.events import MAX_INTENSITY
from neuronedit.errors import DataError

TEXT_START = 256
"""Where TEXT begins; spaces stand between it and the HEADER."""

LARGEST_OFFSET = 99_999_999
"""The largest that the HEADER's eight digits hold; beyond it, offsets stand in TEXT alone."""

CRC = b"00000000"
"""Stands at the file's end in the place of a checksum, as FCS 3.1 asks for where none is computed."""

VALUES_PER_BLOCK = 5_242_880
"""Values that are in memory at once: 131,072 events of 40 channels."""


@dataclass(frozen=True)
class Channel:
    """A channel of an FCS file.

    Attributes:
        column: The column of the tables that has its values.
        name: Its name ($PnN), unique in the file.
        label: Its marker ($PnS); empty where there is none.
        range: A whole number above every value ($PnR): some readers cut what is beyond it.
        null: The value of events that have none; None where that is an error.
    """

    column: str
    name: str
    label: str = ""
    range: int = 1
    null: float | None = None


class Events(NamedTuple):
    """Consecutive events of a file.

    Attributes:
        table: A column for each channel, and any others.
        file: The file, for messages.
        rows: (n_events,) their numbers in that file, for messages.
    """

    table: pa.Table
    file: str
    rows: Int64s


class Sink(Protocol):
    """What bytes can be written to."""

    def write(self, piece: bytes | memoryview) -> object:
        """Write bytes."""


def write_fcs(
    sink: Sink, channels: Sequence[Channel], keywords: Mapping[str, str], n_events: int, events: Iterable[Events]
) -> dict[str, int]:
    """Write an FCS 3.1 file: float32 events one after another, nothing of it twice in memory.

    Args:
        sink: The file, empty.
        channels: The channels, in order.
        keywords: Further keywords, with their ``$``; they give way to those that tell the file's structure.
        n_events: The number of all events, which stands before them in the file.
        events: The events.

    Returns:
        For each column that has some, the number of values that float32 does not hold exactly.

    Raises:
        DataError: A value is null, not finite, or beyond its channel's range; or there are more or fewer events.
    """
    sink.write(head(channels, keywords, n_events))
    rounded: dict[str, int] = {}
    n_written, last = 0, "no file"
    for part in events:
        matrix, inexact = event_matrix(part, channels)
        for column, count in inexact.items():
            rounded[column] = rounded.get(column, 0) + count
        sink.write(matrix.data.cast("B") if matrix.size else b"")
        n_written, last = n_written + len(matrix), part.file
    sink.write(CRC)
    if n_written != n_events:
        raise DataError(
            f"{last}: expected {n_events} events, as counted before; found {n_written}. Let nothing write to the input "
            "while it is read, and run again."
        )
    return rounded


def head(channels: Sequence[Channel], keywords: Mapping[str, str], n_events: int) -> bytes:
    r"""Write all that stands before the events: HEADER and TEXT.

    Offsets of the events stand in TEXT, and in the HEADER too if it has room for them.

    Example:
        >>> written = head([Channel("CD3", "FITC-A", "CD3", 263)], {"$CYT": "Aurora"}, n_events=2)
        >>> written[:58]
        b'FCS3.1         256     471     472     479       0       0'
        >>> len(written), b"$P1S\x0cCD3\x0c" in written
        (472, True)
    """
    n_bytes, begin = 4 * len(channels) * n_events, TEXT_START
    while True:  # the offsets stand in the text, whose length depends on them; it only grows
        text = text_segment(_structure(channels, n_events, begin, begin + n_bytes - 1) | _others(channels, keywords))
        if begin == TEXT_START + len(text):
            break
        begin = TEXT_START + len(text)
    last = begin + n_bytes - 1
    data = (begin, last) if last <= LARGEST_OFFSET else (0, 0)
    header = "FCS3.1    " + "".join(f"{offset:>8}" for offset in (TEXT_START, begin - 1, *data, 0, 0))
    return header.ljust(TEXT_START).encode() + text


def event_matrix(events: Events, channels: Sequence[Channel]) -> tuple[Float32s, dict[str, int]]:
    """Make the matrix of some events as an FCS file has it: (n_events, n_channels) little-endian float32.

    Args:
        events: Their values are float or integer; nulls are taken for ``Channel.null``.
        channels: The channels, in order.

    Returns:
        The matrix; and, for each column that has some, the number of values that float32 does not hold exactly.

    Raises:
        DataError: A value is null where none may be, not finite as float32, or beyond its channel's range.
    """
    table = events.table
    matrix: Float32s = np.empty((table.num_rows, len(channels)), dtype="<f4")
    rounded = {}
    for number, channel in enumerate(channels):
        column = table.column(channel.column)
        nulls = column.is_null().to_numpy() if column.null_count else None
        if nulls is not None:
            if channel.null is None:
                raise _unusable(events, channel.column, ~nulls, "no value (null)")
            column = column.fill_null(pa.scalar(channel.null, column.type))
        values = column.to_numpy()
        with np.errstate(all="ignore"):  # what overflows is found below
            single: Float32s = values.astype("<f4", copy=False)
            exact = values.dtype in (np.float16, np.float32)
            if not exact and (inexact := int((single.astype(values.dtype) != values).sum())):
                rounded[channel.column] = inexact
        _check(single, events, channel)
        matrix[:, number] = single
    return matrix, rounded


def needed_range(largest: float) -> int:
    """The smallest range ($PnR) that cuts no value, also where a reader allows for whole numbers below it only.

    Args:
        largest: The largest value of the channel.

    Example:
        >>> needed_range(261.4), needed_range(-3.0), needed_range(2.0**40) == 2**41
        (263, 1, True)
    """
    whole = int(np.ceil(np.float32(largest)))
    if whole < 2**31:
        return max(whole + 1, 1)
    return 1 << whole.bit_length()  # a reader's float64 does not tell a large number from the one before


def _check(values: Float32s, events: Events, channel: Channel) -> None:
    if not len(values):
        return
    lowest, largest = float(values.min()), float(values.max())  # NaN where one is
    if lowest >= -MAX_INTENSITY and largest < channel.range and largest <= MAX_INTENSITY:
        return
    column = channel.column
    if not (finite := np.isfinite(values)).all():
        stored = events.table.column(column)[int(np.flatnonzero(~finite)[0])].as_py()
        found = "NaN" if stored != stored else "infinity" if np.isinf(float(stored)) else f"{stored:g}, beyond float32"
        raise _unusable(events, column, finite, found)
    raise DataError(
        f"{events.file}: column {column!r} has {largest:g} in row {events.rows[int(values.argmax())]}, more than the "
        f"statistics in the file's footer say ({channel.range - 1} at most). The file is damaged: write it again."
    )


def _unusable(events: Events, column: str, usable: Masks, found: str) -> DataError:
    bad = np.flatnonzero(~usable)
    return DataError(
        f"{events.file}: column {column!r} has {found} in row {events.rows[bad[0]]} ({len(bad)} such events among "
        f"{len(usable)}); expected finite numbers, since programs that read FCS fail at others. Leave the events out, "
        f'or the column: leave_out = ["{column}"].'
    )


def _structure(channels: Sequence[Channel], n_events: int, begin: int, last: int) -> dict[str, str]:
    told = {
        "$BEGINANALYSIS": "0",
        "$BEGINDATA": str(begin),
        "$BEGINSTEXT": "0",
        "$BYTEORD": "1,2,3,4",
        "$DATATYPE": "F",
        "$ENDANALYSIS": "0",
        "$ENDDATA": str(last),
        "$ENDSTEXT": "0",
        "$MODE": "L",
        "$NEXTDATA": "0",
        "$PAR": str(len(channels)),
        "$TOT": str(n_events),
    }
    for number, channel in enumerate(channels, 1):
        told |= {f"$P{number}B": "32", f"$P{number}E": "0,0", f"$P{number}G": "1", f"$P{number}N": channel.name}
        told |= {f"$P{number}R": str(channel.range)}
        if channel.label:
            told[f"$P{number}S"] = channel.label
    return told


def _others(channels: Sequence[Channel], keywords: Mapping[str, str]) -> dict[str, str]:
    own = _structure(channels, 0, 0, 0)
    return {key: value for key, value in keywords.items() if key not in own and f"${key}" not in own}
