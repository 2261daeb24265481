"""What the values of an FCS file mean: its channels, and the bits, order and scale of each."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from neuronedit.adapters.fcs.text import DataSet, whole_number
from neuronedit.errors import DataError, listing

FLOAT_BITS = {"F": 32, "D": 64}
MAX_INTEGER_BITS = 64

NOT_SAID = ("", "NA", "N/A", "NAN", "NONE", "NULL")
"""Values by which software says that it has none."""


@dataclass(frozen=True)
class Channel:
    """One column of events, as the file describes it.

    Attributes:
        name: The detector, $PnN.
        label: What it measures, $PnS; empty where the file does not say.
        kind: ``I`` integer, ``F`` single or ``D`` double precision.
        bits: The width of a value, $PnB.
        range: $PnR: values are below it; 0 where the file does not say.
        decades: Of a logarithmic amplifier ($PnE); 0 where the channel is linear.
        lowest: The intensity of value 0 of a logarithmic amplifier.
        divisor: The gain ($PnG) that is divided out; 1 of logarithmic channels and of time.
        step: Seconds of a unit of time ($TIMESTEP); 1 of other channels.
    """

    name: str
    label: str
    kind: str
    bits: int
    range: float
    decades: float
    lowest: float
    divisor: float
    step: float

    @property
    def mask(self) -> int | None:
        """The bits of an integer that its range leaves; None where these are all."""
        if self.kind != "I" or not 0 < self.range < 2.0**self.bits:
            return None
        return int((1 << max(math.ceil(self.range) - 1, 0).bit_length()) - 1)


def read_channels(found: DataSet, where: str) -> tuple[Channel, ...]:
    """Read the channels' keywords; what is odd and can be read is added to the data set's notes.

    Raises:
        DataError: A keyword that is needed is missing or makes no sense, or two channels have one name.
    """
    reader = _Reader(found.keywords, found.notes, where)
    count = reader.whole("$PAR")
    if count < 1:
        reader.refuse("$PAR", "the number of channels")
    if found.keywords.get("$MODE", "L").strip().upper() not in ("L", "", "NA"):
        reader.refuse("$MODE", "events listed one by one, L", "Export the file as FCS 3.1.")
    names = [found.keywords.get(f"$P{number}N") for number in range(1, min(count, len(found.keywords)) + 1)]
    if found.version == "2.0":  # $PnN is optional there
        names = [name or found.keywords.get(f"$P{n}S") or f"P{n}" for n, name in enumerate(names, start=1)]
    n_found = len(names) - names.count(None)
    if n_found != count or None in names:
        absent = names.index(None) + 1 if None in names else len(names) + 1
        raise DataError(
            f"{where}: expected {count} channel names, as $PAR says; found {n_found} ($PnN): $P{absent}N is missing. "
            "Export the file again."
        )
    trimmed = [(name or "").strip("\0 \t\r\n") for name in names]
    _check_names(trimmed, where)
    return tuple(reader.channel(number, name) for number, name in enumerate(trimmed, start=1))


def byte_order(found: DataSet, n_bytes: int, where: str) -> tuple[int, ...]:
    """Read $BYTEORD for values of some bytes: the significance of each byte in the file, 0 the least.

    Raises:
        DataError: It names no order, or none for values so wide.

    Example:
        >>> found = DataSet(0, "3.0", {"$BYTEORD": "4, 3, 2, 1"}, (58, 99), (100, 199))
        >>> byte_order(found, 3, "a.fcs")
        (2, 1, 0)
    """
    text = found.keywords.get("$BYTEORD", "")
    order = [int(digit) for digit in re.findall(r"\d", text)]
    if sorted(order) != list(range(1, len(order) + 1)) or re.sub(r"[\d,;\s\0]", "", text):
        order = []
    if n_bytes == 1:
        return (0,)
    if order in (sorted(order), sorted(order, reverse=True)) and len(order) > 1:
        return tuple(range(n_bytes)) if order[0] == 1 else tuple(range(n_bytes))[::-1]
    if len(order) >= n_bytes:  # of 3,4,1,2, words of two bytes have the order of 3,4
        ranks = sorted(order[:n_bytes])
        return tuple(ranks.index(place) for place in order[:n_bytes])
    raise DataError(
        f"{where}: expected an order of bytes in $BYTEORD, such as 1,2,3,4 or 4,3,2,1, for values of {n_bytes} bytes; "
        f"found {text[:40]!r}. Export the file again."
    )


@dataclass(frozen=True)
class _Reader:
    """Reads keywords, and refuses what makes no sense."""

    keywords: Mapping[str, str]
    notes: list[str]
    where: str

    def refuse(self, key: str, expected: str, remedy: str = "Export the file again.") -> NoReturn:
        found = repr(self.keywords[key].strip()[:40]) if key in self.keywords else "that it is missing"
        raise DataError(f"{self.where}: expected {expected} in the FCS file's keyword {key}; found {found}. {remedy}")

    def text(self, key: str) -> str:
        """A keyword's value; empty where the file does not say."""
        value = self.keywords.get(key, "").strip("\0 \t\r\n")
        return "" if value.upper() in NOT_SAID else value

    def whole(self, key: str) -> int:
        number = whole_number(self.keywords.get(key, ""))
        if number is None:
            self.refuse(key, "a whole number")
        return number

    def channel(self, number: int, name: str) -> Channel:
        key = f"$P{number}"
        kind = (self.text(f"{key}DATATYPE") or self.text("$DATATYPE")).upper()
        if kind not in ("I", "F", "D"):
            by_itself = f"{key}DATATYPE" in self.keywords
            self.refuse(
                f"{key}DATATYPE" if by_itself else "$DATATYPE",
                "integers or floats, I, F or D",
                "Export the file as FCS 3.1 of floats.",
            )
        bits = FLOAT_BITS.get(kind) or self.whole(f"{key}B")
        if not 1 <= bits <= MAX_INTEGER_BITS:
            self.refuse(f"{key}B", f"integers of 1 to {MAX_INTEGER_BITS} bits")
        decades, lowest = self.scale(f"{key}E") if kind == "I" else (0.0, 0.0)
        told = self.text(f"{key}E")
        if kind != "I" and told[:1] not in ("", "0"):
            self.notes.append(f"{key}E is {told!r} of floating-point values, which are linear by the standard: ignored")
        is_time = name.casefold() == "time"
        return Channel(
            name,
            self.text(f"{key}S"),
            kind,
            bits,
            self.range(f"{key}R", needed=decades > 0, used=kind == "I"),
            decades,
            lowest,
            1.0 if decades > 0 or is_time else self.gain(f"{key}G"),
            self.time_step() if is_time else 1.0,
        )

    def number(self, key: str, expected: str) -> float | None:
        """A keyword's number; None where the file does not say."""
        text = self.text(key)
        try:
            number = float(text) if text else None
        except ValueError:
            self.refuse(key, expected)
        if number is not None and not math.isfinite(number):
            self.refuse(key, expected)
        return number

    def range(self, key: str, *, needed: bool, used: bool) -> float:
        text = self.text(key)
        try:
            number = float(text) if text else 0.0
        except ValueError:
            number = 0.0
        if number > 0 and math.isfinite(number):
            return number
        if needed:
            self.refuse(key, "the range of a logarithmic channel, a positive number")
        if used and not number > 0:
            self.notes.append(f"{key} is {text!r}, which is no range: no bits of these integers are masked")
        return 0.0

    def scale(self, key: str) -> tuple[float, float]:
        text = self.text(key)
        if not text:
            self.notes.append(f"{key} does not say how these integers were amplified: they are taken as linear")
            return 0.0, 0.0
        parts = text.split(",")
        try:
            decades, lowest = map(float, parts)
        except ValueError:
            self.refuse(key, "two numbers, 0,0 where linear")
        if not (math.isfinite(decades) and math.isfinite(lowest) and decades >= 0 and lowest >= 0):
            self.refuse(key, "two numbers that are not negative")
        return decades, lowest or 1.0  # FCS 3.1: 4,0 is meant as 4,1

    def gain(self, key: str) -> float:
        number = self.number(key, "a gain, a positive number")
        if number is None or number > 0:
            return number or 1.0
        self.notes.append(f"{key} is {number:g}, which is no gain: nothing is divided out")
        return 1.0

    def time_step(self) -> float:
        number = self.number("$TIMESTEP", "the seconds of a unit of time, a number")
        if number is None or number > 0:
            return number or 1.0
        self.notes.append(f"$TIMESTEP is {number:g}, which is no step: the time stays in its own unit")
        return 1.0


def _check_names(names: Sequence[str], where: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated or "" in names:
        fault = f"{listing(repeated)} stands more than once" if any(repeated) else "one is empty"
        raise DataError(f"{where}: expected unique channel names ($PnN); {fault}. Rename the channel.")
