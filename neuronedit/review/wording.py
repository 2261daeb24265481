"""How a review words an edit's two sides, and its numbers.

A change has a before and an after; a batch is led to the reference. Noise about 0 is 0, and no number is told twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from neuronedit.arrays import Float64s, Floats
from neuronedit.cells.design import INVERSE, ControlsDesign, Design
from neuronedit.errors import NOT_MEASURED


@dataclass(frozen=True)
class Wording:
    """Words that come behind a noun, such as *events*, to say of which side of an edit they are.

    Attributes:
        before: Words for the side that the edit is fitted from.
        after: Words for the side that it is fitted to.
    """

    before: str = "before the change"
    after: str = "after the change"

    @classmethod
    def of(cls, design: Design, edit: str) -> "Wording":
        """Choose the words of an edit by the design that it follows from.

        Args:
            design: The model's.
            edit: The edit's name; of a design of controls it is the batch's.

        Example:
            >>> from neuronedit.cells.design import PairDesign
            >>> Wording.of(ControlsDesign.of_arrays(reference="day2"), "day1")
            Wording(before='of batch day1', after='of the reference')
            >>> Wording.of(PairDesign.of_arrays(), "pair").after
            'after the change'
        """
        forth = cls()
        if isinstance(design, ControlsDesign):
            forth = cls(f"of batch {edit.removesuffix(INVERSE)}", "of the reference")
        return cls(forth.after, forth.before) if edit.endswith(INVERSE) else forth

    @property
    def path(self) -> str:
        """Say where the edit leads.

        Example:
            >>> Wording("of batch day1", "of the reference").path
            'from events of batch day1 to events of the reference'
        """
        return f"from events {self.before} to events {self.after}"


CHANGE: Final = Wording()
"""The words of a pair."""

NOISE: Final = 1e-9
"""Below, a number of order 1 is what rounding leaves: a sum of float64 products is off by some 1e-16 of each."""


def settled(values: Floats) -> Float64s:
    """Make noise about 0 a 0: an array of any shape → the same, float64.

    Example:
        >>> settled(np.array([3.2e-16, -0.0, 0.5])).tolist()
        [0.0, 0.0, 0.5]
    """
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(numbers) < NOISE, 0.0, numbers)


def short(value: float, form: str = ".2f") -> str:
    """Write a number; 0 has no sign, and what is not known was not measured.

    Args:
        value: The number.
        form: Its format.

    Example:
        >>> short(-3.2e-16), short(-0.001), short(0.126), short(-0.001, "+.1f"), short(float("nan"))
        ('0', '0', '0.13', '0', 'not measured')
    """
    if not np.isfinite(value):
        return NOT_MEASURED
    text = f"{float(settled(np.array(value))):{form}}"
    bare = text.strip("+-%")
    return text.replace(bare, "0").lstrip("+-") if not bare.strip("0.") else text


def from_to(first: float, second: float, form: str = ".2f") -> str:
    """Write two numbers, or one where both read alike.

    Args:
        first: Comes before the arrow.
        second: Comes behind it.
        form: The format of both.

    Example:
        >>> from_to(0.2, 0.3), from_to(0.981, 0.984, ".0%")
        ('0.20 → 0.30', '98%')
    """
    texts = short(first, form), short(second, form)
    return texts[0] if texts[0] == texts[1] else " → ".join(texts)
