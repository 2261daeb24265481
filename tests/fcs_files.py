"""Tiny FCS files for the tests: 3.1 by flowio, and 2.0, 3.0, 3.1 of any data type written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import flowio
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
    """An FCS 3.1 file of float32, by flowio: (n_events, n_channels)."""
    with path.open("wb") as file:
        flowio.create_fcs(
            file, np.asarray(intensities, dtype=float).ravel().tolist(), list(channels), markers, dict(keywords or {})
        )
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
