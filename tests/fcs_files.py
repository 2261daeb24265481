"""Tiny FCS files for the tests: 2.0 to 3.2, of any data type, right or wrong, written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

TEXT_START = 58
BYTE_ORDERS = {"<": "1,2,3,4", ">": "4,3,2,1"}


def write_float_fcs(
    path: Path,
    intensities: npt.ArrayLike,
    channels: Sequence[str],
    markers: Sequence[str] | None = None,
    keywords: Mapping[str, str] | None = None,
) -> Path:
    """An FCS 3.1 file of float32: (n_events, n_channels)."""
    text = {f"$P{number}S": marker for number, marker in enumerate(markers or (), start=1) if marker}
    content = fcs_bytes(
        np.asarray(intensities, np.float32), channels, version="3.1", keywords=text | dict(keywords or {})
    )
    path.write_bytes(content)
    return path


def fcs_bytes(
    values: npt.NDArray[np.generic],
    channels: Sequence[str],
    *,
    version: str = "3.0",
    keywords: Mapping[str, str | None] | None = None,
    order: str = "<",
    widths: Sequence[int] | None = None,
) -> bytes:
    """An FCS file, byte by byte.

    Args:
        values: (n_events, n_channels); its dtype gives $DATATYPE and the width of every channel.
        channels: $PnN.
        version: 2.0 keeps the offsets of the data in the header only.
        keywords: Added to the text, or put in place of what it has; None takes one away. The data stays.
        order: ``<`` little endian, ``>`` big endian.
        widths: Bits of each channel, where integers differ in width.
    """
    n_events, n_channels = values.shape
    kind = {"f4": "F", "f8": "D"}.get(values.dtype.str[1:], "I")
    widths = list(widths or [values.dtype.itemsize * 8] * n_channels)
    data = _data_bytes(values, widths, order)
    text = {
        "$MODE": "L",
        "$DATATYPE": kind,
        "$BYTEORD": BYTE_ORDERS[order],
        "$PAR": str(n_channels),
        "$TOT": str(n_events),
        "$NEXTDATA": "0",
    }
    for number, (channel, width) in enumerate(zip(channels, widths, strict=True), start=1):
        text |= {f"$P{number}N": channel, f"$P{number}B": str(width), f"$P{number}E": "0,0"}
        text[f"$P{number}R"] = str(2**width) if kind == "I" else "262144"
    text |= keywords or {}
    text = {key: value for key, value in text.items() if value is not None}
    begin = TEXT_START
    for _ in range(3):  # the offsets stand in the text, whose length they change
        if version != "2.0":
            text |= {"$BEGINDATA": str(begin), "$ENDDATA": str(begin + len(data) - 1)}
        segment = "|" + "".join(f"{key}|{value}|" for key, value in text.items())
        begin = TEXT_START + len(segment.encode())
    offsets = [TEXT_START, begin - 1, begin, begin + len(data) - 1, 0, 0]
    header = f"FCS{version}    " + "".join(f"{offset:>8}" for offset in offsets)
    return header.encode() + segment.encode() + data


def _data_bytes(values: npt.NDArray[np.generic], widths: Sequence[int], order: str) -> bytes:
    kind = values.dtype.kind
    columns = np.dtype([(str(number), f"{order}{kind}{width // 8}") for number, width in enumerate(widths)])
    events = np.empty(len(values), dtype=columns)
    for number in range(values.shape[1]):
        events[str(number)] = values[:, number]
    return events.tobytes()


def raw_fcs(
    segment: bytes,
    data: bytes,
    *,
    version: str = "3.0",
    header: tuple[str, str] | None = None,
    text_longer: int = 0,
    supplemental: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """An FCS file of a TEXT segment as it is given, right or wrong.

    Args:
        segment: TEXT. ``%BEGIN`` and ``%END`` in it become the offsets of DATA, ``%SBEGIN`` and ``%SEND`` those of
            supplemental TEXT.
        data: DATA.
        version: Of the header.
        header: First and last byte of DATA as the header has them, in place of the true ones.
        text_longer: Bytes by which the header has TEXT end late (or early, if negative).
        supplemental: A supplemental TEXT segment, between TEXT and DATA.
        after: What follows DATA.
    """
    marks = [b"%BEGIN", b"%END", b"%SBEGIN", b"%SEND"]
    length = len(segment) + sum((8 - len(mark)) * segment.count(mark) for mark in marks)
    supplement = TEXT_START + length
    begin = supplement + len(supplemental)
    places = [begin, begin + len(data) - 1, supplement, begin - 1]
    for mark, place in zip(marks, places, strict=True):
        segment = segment.replace(mark, b"%08d" % place)
    first, last = header or (str(places[0]), str(places[1]))
    offsets = [TEXT_START, TEXT_START + length - 1 + text_longer, first, last, 0, 0]
    start = f"FCS{version}    " + "".join(f"{offset:>8}" for offset in offsets)
    return start.encode() + segment + supplemental + data + after


def text_of(keywords: Mapping[str, str | bytes], delimiter: bytes = b"|", *, last: bool = True) -> bytes:
    """A TEXT segment with delimiters doubled in values; bytes are written as they are."""
    words = []
    for key, value in keywords.items():
        raw = value if isinstance(value, bytes) else value.encode().replace(delimiter, delimiter * 2)
        words += [key.encode(), raw]
    return delimiter + delimiter.join(words) + (delimiter if last else b"")


def float_keywords(channels: Sequence[str], n_events: int, **more: str) -> dict[str, str | bytes]:
    """The keywords of a file of little-endian float32, with offsets that ``raw_fcs`` fills in."""
    keywords: dict[str, str | bytes] = {"$BEGINDATA": "%BEGIN", "$ENDDATA": "%END", "$MODE": "L", "$DATATYPE": "F"}
    keywords |= {"$BYTEORD": "1,2,3,4", "$NEXTDATA": "0", "$PAR": str(len(channels)), "$TOT": str(n_events)}
    for number, channel in enumerate(channels, start=1):
        keywords |= {f"$P{number}N": channel, f"$P{number}B": "32", f"$P{number}E": "0,0", f"$P{number}R": "262144"}
    return keywords | more
