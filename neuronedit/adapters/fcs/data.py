"""DATA of an FCS file: where its values lie, and their decoding, a block of events at a time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from neuronedit.adapters.fcs.layout import Channel, byte_order
from neuronedit.adapters.fcs.text import NEEDED_HEADER_BYTES, DataSet, whole_number
from neuronedit.arrays import Float64s
from neuronedit.errors import DataError

Offsets = Literal["auto", "header", "text"]

BLOCK_BYTES = 64 * 2**20
"""Of one block's intensities in memory."""

BLOCK_EVENTS = 131_072
"""Of one block at most; a multiple of 8, so that blocks of packed bits begin with a byte."""


@dataclass(frozen=True)
class Segment:
    """Where the events of a data set lie, and how.

    Attributes:
        begin: The byte of the file where the first event begins.
        n_events: The number of events.
        widths: (n_channels,) bits that each value takes, with unused ones.
        orders: (n_channels,) the significance of each byte of a value; empty where bits are packed.
    """

    begin: int
    n_events: int
    widths: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]

    @property
    def event_bits(self) -> int:
        """Bits of an event."""
        return sum(self.widths)


def find_segment(found: DataSet, channels: Sequence[Channel], size: int, offsets: Offsets, where: str) -> Segment:
    """Find the events of a data set.

    HEADER's and TEXT's offsets may differ, or either be missing. The one that fits the number of events is taken, or
    HEADER's where both do, as readers of FCS files agree.

    Args:
        found: The data set; an offset that had to be chosen is added to its notes.
        channels: Its channels.
        size: The file's bytes.
        offsets: ``header`` or ``text`` takes these and no others.
        where: The file, for messages.

    Raises:
        DataError: There are no events, or the file does not have as many bytes as they take.
    """
    n_events = _promised_events(found, where)
    candidates = _candidates(found, offsets, where)
    layouts = list(_layouts(channels))
    fitting: list[tuple[str, int, int, tuple[int, ...]]] = []
    for name, (begin, end) in candidates.items():
        inside = begin < NEEDED_HEADER_BYTES or found.text[0] <= begin < found.text[1]
        for widths in layouts:
            events = _events_that_fit(end - begin + 1, sum(widths), n_events)
            bytes_needed = -(-(events or 0) * sum(widths) // 8)
            if events and not inside and found.start + begin + bytes_needed <= size:
                fitting.append((name, begin, events, widths))
                break
    if not fitting:
        _refuse(found, channels, candidates, n_events, size, where)
    name, begin, events, widths = fitting[0]
    _tell_choice(found, candidates, [each[0] for each in fitting], name)
    if n_events is None and found.version != "2.0":
        found.notes.append(f"$TOT, the number of events, is missing: the data segment has {events}")
    if widths != layouts[0]:
        channel = next(n for n, (is_, told) in enumerate(zip(widths, layouts[0], strict=True), 1) if is_ != told)
        bits = (layouts[0][channel - 1], widths[channel - 1])
        found.notes.append(f"$P{channel}B says {bits[0]} bits; the size of the data says that they lie in {bits[1]}")
    packed = any(width % 8 for width in widths)
    orders = () if packed else tuple(byte_order(found, width // 8, where) for width in widths)
    return Segment(found.start + begin, events, widths, orders)


def read_blocks(file: BinaryIO, segment: Segment, channels: Sequence[Channel], where: str) -> Iterator[Float64s]:
    """Read the events block by block: (n_events, n_channels) raw linear intensities each.

    Raises:
        DataError: The file ends before its events do.
    """
    most = max(8, min(BLOCK_EVENTS, BLOCK_BYTES // (8 * len(channels)) // 8 * 8))
    for first in range(0, segment.n_events, most):
        n_events = min(most, segment.n_events - first)
        file.seek(segment.begin + first * segment.event_bits // 8)
        n_bytes = -(-n_events * segment.event_bits // 8)
        raw = file.read(n_bytes)
        if len(raw) < n_bytes:
            raise DataError(f"{where}: the FCS file ended while it was read. Copy it again.")
        stored = (
            _packed_values(raw, n_events, segment) if not segment.orders else _values(raw, n_events, segment, channels)
        )
        block = np.empty((n_events, len(channels)))
        with np.errstate(all="ignore"):  # what overflows is found where finite values are asked for
            for column, (channel, values) in enumerate(zip(channels, stored, strict=True)):
                block[:, column] = _linear(values, channel)
        yield block


def _linear(values: npt.NDArray[Any], channel: Channel) -> Float64s:
    mask = channel.mask
    linear = (values & np.uint64(mask) if mask is not None else values).astype(np.float64)
    if channel.decades > 0:
        linear = channel.lowest * 10 ** (channel.decades * linear / channel.range)
    if channel.divisor != 1:
        linear /= channel.divisor
    if channel.step != 1:
        linear *= channel.step
    return linear


def _values(raw: bytes, n_events: int, segment: Segment, channels: Sequence[Channel]) -> Iterator[npt.NDArray[Any]]:
    """Each channel's values in turn, as they are stored: (n_events,)."""
    stride, at = segment.event_bits // 8, 0
    for channel, width, order in zip(channels, segment.widths, segment.orders, strict=True):
        n_bytes, kind = width // 8, "u" if channel.kind == "I" else "f"
        straight = order == tuple(range(n_bytes))
        if n_bytes in (1, 2, 4, 8) and (straight or order == tuple(range(n_bytes))[::-1]):
            dtype = np.dtype(f"{'<' if straight else '>'}{kind}{n_bytes}")
            whole: npt.NDArray[Any] = np.ndarray((n_events,), dtype, raw, at, (stride,))
            yield whole.astype(np.uint64) if kind == "u" else whole
        else:
            wide = np.zeros((n_events, 8 if kind == "u" else n_bytes), np.uint8)
            wide[:, list(order)] = np.frombuffer(raw, np.uint8).reshape(n_events, stride)[:, at : at + n_bytes]
            yield wide.view(f"<{kind}{wide.shape[1]}")[:, 0]
        at += n_bytes


def _packed_values(raw: bytes, n_events: int, segment: Segment) -> Iterator[npt.NDArray[Any]]:
    """Each channel's values in turn, of bits that follow upon each other across bytes, the highest first."""
    flat = np.unpackbits(np.frombuffer(raw, np.uint8), count=n_events * segment.event_bits)
    bits, at = flat.reshape(n_events, segment.event_bits), 0
    for width in segment.widths:
        values = np.zeros(n_events, np.uint64)
        for column in range(at, at + width):
            values = values << np.uint64(1) | bits[:, column]
        yield values
        at += width


def _layouts(channels: Sequence[Channel]) -> Iterator[tuple[int, ...]]:
    """The widths that values may take: as $PnB says, or in whole bytes, or in words of 16, 32 or 64 bits."""
    told = tuple(channel.bits for channel in channels)
    yield told
    if any(bits % 8 for bits in told):
        yield tuple(-(-bits // 8) * 8 for bits in told)
        yield tuple(max(8, 1 << (bits - 1).bit_length()) for bits in told)


def _events_that_fit(n_bytes: int, event_bits: int, n_events: int | None) -> int | None:
    """How many events a segment has; None where its size is not theirs."""
    most = max(event_bits / 8, 2)  # some instruments fill up the segment
    if n_events is None:
        n_events, most = (n_bytes * 8 + (8 if event_bits > 16 else 0)) // event_bits, 2
    surplus = n_bytes - math.ceil(n_events * event_bits / 8)
    return n_events if -1 <= surplus < most else None  # some give the byte after the last one, or before it


def _promised_events(found: DataSet, where: str) -> int | None:
    told = found.keywords.get("$TOT", "").strip("\0 \t\r\n")
    n_events = whole_number(told)
    if told and n_events is None:
        raise DataError(
            f"{where}: expected the number of events in the FCS file's keyword $TOT; found {told[:40]!r}. "
            "Export the file again."
        )
    if n_events is not None and n_events <= 0:
        raise DataError(f"{where}: the FCS file has no events ($TOT is {n_events}). Drop it from the sheet.")
    return n_events


def _candidates(found: DataSet, offsets: Offsets, where: str) -> dict[str, tuple[int, int]]:
    """First and last byte of DATA, as HEADER and as TEXT say."""
    told = [whole_number(found.keywords.get(key, "")) or 0 for key in ("$BEGINDATA", "$ENDDATA")]
    both = {"header": found.header_data, "text": (told[0], told[1])}
    given = {name: (begin, end) for name, (begin, end) in both.items() if 0 < begin < end}
    if offsets != "auto":
        given = {name: place for name, place in given.items() if name == offsets}
    if not given:
        raise DataError(
            f"{where}: expected the place of DATA in the FCS file's HEADER, or in $BEGINDATA and $ENDDATA; found "
            f"{_places(both)}, with offsets = {offsets}. "
            + ("Export the file again." if offsets == "auto" else "Set offsets = auto.")
        )
    return given


def _places(candidates: dict[str, tuple[int, int]]) -> str:
    return ", ".join(f"{begin} to {end} in {name.upper()}" for name, (begin, end) in candidates.items())


def _tell_choice(found: DataSet, candidates: dict[str, tuple[int, int]], fitting: list[str], chosen: str) -> None:
    if len({begin for begin, _ in candidates.values()}) < 2:
        return
    why = "both could be" if len(fitting) > 1 else "only they fit $TOT and the file"
    found.notes.append(
        f"HEADER and TEXT differ in where DATA lies ({_places(candidates)}): {chosen.upper()}'s offsets are used, as "
        f"{why}; offsets = header or text takes others"
    )


def _refuse(
    found: DataSet,
    channels: Sequence[Channel],
    candidates: dict[str, tuple[int, int]],
    n_events: int | None,
    size: int,
    where: str,
) -> None:
    event_bits = sum(channel.bits for channel in channels)
    begin, end = max(candidates.values(), key=lambda place: place[1] - place[0])
    if all(begin < found.text[1] for begin, _ in candidates.values()):
        raise DataError(
            f"{where}: expected DATA behind TEXT ({found.text[0]} to {found.text[1]}) in the FCS file; found "
            f"{_places(candidates)}. The file is damaged: copy or export it again."
        )
    if n_events is None:
        raise DataError(
            f"{where}: expected whole events of {event_bits / 8:g} bytes in DATA, since $TOT is missing; found DATA "
            f"at {_places(candidates)}. The FCS file is truncated or damaged: copy it again."
        )
    n_bytes = math.ceil(n_events * event_bits / 8)
    last = found.start + begin + n_bytes
    if last > size and end - begin + 2 >= n_bytes:
        raise DataError(
            f"{where}: the FCS file is truncated: expected at least {last} bytes, as its offsets of DATA say "
            f"({_places(candidates)}); found {size}. Copy or export it again."
        )
    n_values = (end - begin + 1) * 8 * len(channels) // event_bits
    raise DataError(
        f"{where}: expected {n_events} events × {len(channels)} channels ($TOT × $PAR = {n_events * len(channels)} "
        f"values); the data segment has {n_values} ({_places(candidates)}). The file is truncated or damaged: copy it "
        "again, or set offsets."
    )
