"""FCS files (Flow Cytometry Standard 2.0, 3.0, 3.1): channels, marker names and raw intensities."""

import re
import struct
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import flowio
import numpy as np
from flowio.exceptions import DataOffsetDiscrepancyError, FCSParsingError, MultipleDataSetsError

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.cells.compensation import compensate, read_spillover
from neuronedit.errors import DataError, listing

VERSIONS = ("2.0", "3.0", "3.1")
HEADER_BYTES = 58

# What flowio raises on damaged files, besides its own errors: it reads fields before it checks them.
UNREADABLE = (
    FCSParsingError,
    DataOffsetDiscrepancyError,
    MultipleDataSetsError,
    NotImplementedError,
    ValueError,  # also UnicodeDecodeError
    LookupError,
    EOFError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RecursionError,
    SystemError,
    MemoryError,
    struct.error,
    re.error,
    UserWarning,
)


@dataclass(frozen=True)
class FcsFile:
    """The content of one FCS file.

    Attributes:
        version: ``2.0``, ``3.0`` or ``3.1``.
        channels: Detector names ($PnN), unique.
        markers: For each channel the stained protein ($PnS), or the channel's name where there is none; unique.
        intensities: (n_events, n_channels) raw linear intensities, float32 (float64 where $DATATYPE is D).
        compensated: Whether spillover was undone.
    """

    version: str
    channels: tuple[str, ...]
    markers: tuple[str, ...]
    intensities: Float32s | Float64s
    compensated: bool


def read_fcs(path: str | Path, *, compensated: bool = False) -> FcsFile:
    """Read one FCS file.

    Integers are masked to their range ($PnR) and made linear ($PnE); gains ($PnG) of linear channels are divided
    out, and time becomes seconds ($TIMESTEP), as FCS 3.1 asks. An amplification that is stated
    for floating-point data is ignored: such data is linear by the standard.

    Args:
        path: The file.
        compensated: Undo spillover with the matrix in the file.

    Raises:
        DataError: The file is not FCS, is damaged, has no events, repeats a channel, holds an intensity that is
            not finite, or cannot be compensated.
    """
    path = Path(path)
    _check_header(path)
    flow = _parse(path)
    channels = tuple(name.strip() for name in flow.pnn_labels)
    _check_channels(path, channels, flow.channel_count)
    intensities = _linear_intensities(path, flow)
    if compensated:
        intensities = compensate(intensities, channels, read_spillover(flow.text, str(path)), str(path))
    if flow.data_type.upper() != "D":
        intensities = intensities.astype(np.float32)
    check_finite(path, channels, intensities)
    return FcsFile(flow.version, channels, _marker_names(path, channels, flow.pns_labels), intensities, compensated)


def check_finite(path: Path, channels: Sequence[str], intensities: Floats) -> None:
    """Check that every intensity is a finite number: (n_events, n_channels).

    Raises:
        DataError: One is not; names the channel and the first such event.
    """
    for column, channel in enumerate(channels):
        wrong = ~np.isfinite(intensities[:, column])
        if wrong.any():
            event = int(wrong.argmax())
            raise DataError(
                f"{path}: expected finite intensities; channel {channel!r} has {intensities[event, column]} at event "
                f"{event + 1} ({wrong.sum()} of {len(wrong)} events). Remove these events, or export the file again."
            )


def _check_header(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise DataError(f"{path}: the FCS file cannot be read ({error.strerror}). Check the path.") from error
    if size == 0:
        raise DataError(f"{path}: the FCS file is empty (0 bytes). Export or copy it again.")
    if header[:6] not in [f"FCS{version}".encode() for version in VERSIONS]:
        raise DataError(
            f"{path}: expected an FCS file of version {', '.join(VERSIONS)}; found a file that begins "
            f"{header[:6]!r}. Export it as FCS 3.1, or drop it from the sample sheet."
        )
    offsets = [header[10:18], header[18:26], header[26:34], header[34:42]]
    if len(header) == HEADER_BYTES and all(offset.strip().isdigit() for offset in offsets):
        # Some instruments give the byte after the last one, which is tolerated here.
        promised = max(int(offset) for offset in offsets)
        if promised > size:
            raise DataError(
                f"{path}: the FCS file is truncated: expected at least {promised} bytes, as its header says; "
                f"found {size}. Copy or export it again."
            )


def _parse(path: Path) -> flowio.FlowData:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # flowio guesses, with a warning, where it does not know a byte order or a bit width.
            warnings.simplefilter("error", UserWarning)
            warnings.filterwarnings("ignore", message=".*reported incorrect data offset", category=UserWarning)
            flow = flowio.FlowData(_Bounded(file, path), ignore_offset_error=True)
    except UNREADABLE as error:
        silent = "no memory is left" if isinstance(error, MemoryError) else "unexpected end of file"
        reason = f"keyword {error}" if isinstance(error, KeyError) else str(error) or silent
        raise DataError(
            f"{path}: expected a complete FCS file; found one that is damaged, truncated or of an unsupported kind "
            f"({type(error).__name__}: {reason}). Export or copy it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: the FCS file cannot be read ({error.strerror}). Check the path.") from error
    mode, data_type = flow.text["mode"].upper(), flow.data_type.upper()
    if mode != "L" or data_type not in ("I", "F", "D"):  # flowio lets some others pass
        raise DataError(
            f"{path}: expected events listed one by one ($MODE L) as integers or floats ($DATATYPE I, F or D); found "
            f"$MODE {mode}, $DATATYPE {data_type}. Export the file as FCS 3.1."
        )
    if flow.event_count <= 0:
        raise DataError(f"{path}: the FCS file has no events ($TOT is {flow.event_count}). Drop it from the sheet.")
    return flow


def _check_channels(path: Path, channels: Sequence[str], n_channels: int) -> None:
    if len(channels) != n_channels:
        raise DataError(
            f"{path}: expected {n_channels} channel names, as $PAR says; found {len(channels)} ($PnN). "
            "Export the file again."
        )
    repeated = [channel for channel, count in Counter(channels).items() if count > 1]
    if repeated or "" in channels:
        fault = f"{listing(repeated)} stands more than once" if repeated else "one is empty"
        raise DataError(f"{path}: expected unique channel names ($PnN); {fault}. Rename the channel.")


def _linear_intensities(path: Path, flow: flowio.FlowData) -> Float64s:
    n_values = flow.event_count * flow.channel_count
    if len(flow.events) != n_values:
        raise DataError(
            f"{path}: expected {flow.event_count} events × {flow.channel_count} channels ($TOT × $PAR = {n_values} "
            f"values); the data segment has {len(flow.events)}. The file is truncated or damaged: copy it again."
        )
    is_integer = flow.data_type.upper() == "I"
    for channel in flow.channels.values():
        if not is_integer:
            channel["pne"] = (0.0, 0.0)
        elif channel["pne"][0] > 0:
            channel["png"] = 1.0  # gain is defined for linear amplification only
    try:
        with np.errstate(all="ignore"):  # what overflows is found by check_finite
            return flow.as_array(preprocess=True)
    except UNREADABLE as error:
        raise DataError(
            f"{path}: the FCS file's keywords cannot be used ({str(error) or type(error).__name__}). Export it again."
        ) from error


class _Bounded:
    """An open file that is asked for no more bytes than it has: flowio makes room for what a damaged file promises."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.name = path.name
        self.size = path.stat().st_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, n_bytes: int) -> bytes:
        left = self.size - self.file.tell()
        if n_bytes > left:
            raise EOFError(f"a segment of {n_bytes} bytes, where the file has {max(left, 0)} more")
        return self.file.read(n_bytes)


def _marker_names(path: Path, channels: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    names = [label.strip() or channel for label, channel in zip(labels, channels, strict=True)]
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
