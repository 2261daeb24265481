"""All views of one comparison that cytometrists know, as parts of the review, and the centroids of all comparisons."""

from collections.abc import Callable, Sequence

from neuronedit.errors import DataError, listing, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.review.cytometry.biaxial import biaxial_part
from neuronedit.review.cytometry.by_type import by_type_part
from neuronedit.review.cytometry.curves import curves_part
from neuronedit.review.cytometry.embedding import centroids_part, embedding_part
from neuronedit.review.cytometry.fractions import fractions_part
from neuronedit.review.cytometry.lineage import find_lineage, lineage_part
from neuronedit.review.cytometry.stages import known_types, types_known
from neuronedit.review.part import Part
from neuronedit.review.transfer.transfer import HELD_OUT, TRAINING_PAIR, Transfer


def cytometry_parts(
    model: EditModel, transfers: Sequence[Transfer], comparison_name: str, seed: int = 0
) -> tuple[Part, ...]:
    """Make every view of one comparison that its events allow, and the centroids of all comparisons.

    Views by cell type are made where cell types are known, centroids where there are two comparisons. A view that the
    events do not allow becomes a part that says why.

    Args:
        model: The model.
        transfers: All comparisons.
        comparison_name: The one to show.
        seed: Draws events, and splits the truth.

    Raises:
        DataError: There is no comparison of that name.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> [part.name for part in cytometry_parts(example_model(), [example_transfer()], "other cells")]
        ['lineage', 'by_type', 'fractions', 'biaxial', 'embedding', 'curves']
    """
    transfer = find_transfer(transfers, comparison_name)
    learned = learned_from(transfers, transfer)
    views: dict[str, Callable[[], Part]] = {
        "lineage": lambda: lineage_part(model, transfer, find_lineage(model, transfer, learned, seed))
    }
    if types_known(transfer):
        views["by_type"] = lambda: by_type_part(model, transfer, seed)
    if types_known(transfer) and len(set(known_types(transfer)[1])) > 1:
        views["fractions"] = lambda: fractions_part(model, transfer, seed)
    views["biaxial"] = lambda: biaxial_part(model, transfer, seed)
    views["embedding"] = lambda: embedding_part(model, transfer, seed)
    if len(transfers) > 1:
        views["centroids"] = lambda: centroids_part(model, transfers, seed)
    views["curves"] = lambda: curves_part(model, transfer)
    return tuple(_part_or_reason(name, make) for name, make in views.items())


def find_transfer(transfers: Sequence[Transfer], name: str) -> Transfer:
    """Find the comparison of a name.

    Raises:
        DataError: There is none.

    Example:
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> find_transfer([example_transfer()], "other cells").comparison.kind
        'held out'
    """
    by_name = {transfer.comparison.name: transfer for transfer in transfers}
    if name not in by_name:
        raise DataError(
            f"The review has no comparison {name!r} (comparisons: {listing(by_name)}{nearest_name(name, by_name)}). "
            "Correct the name."
        )
    return by_name[name]


def learned_from(transfers: Sequence[Transfer], transfer: Transfer) -> Transfer | None:
    """Find the training pair of a comparison's edit; None where it is not among the comparisons.

    Example:
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> learned_from([example_transfer()], example_transfer()) is None
        True
    """
    pairs = (
        other
        for other in transfers
        if other.comparison.kind == TRAINING_PAIR and other.comparison.edit == transfer.comparison.edit
    )
    return next(pairs, None)


def lineage_warnings(model: EditModel, transfers: Sequence[Transfer], seed: int = 0) -> tuple[str, ...]:
    """Say where the edits move lineage markers without a reason: on held-out events, or training pairs without any.

    Args:
        model: The model.
        transfers: All comparisons.
        seed: Splits the truth.

    Returns:
        A sentence for each comparison; none where no marker is guarded.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> lineage_warnings(example_model(), [example_transfer()])
        ()
    """
    held_out = [transfer for transfer in transfers if transfer.comparison.kind == HELD_OUT]
    found = {
        transfer.comparison.name: find_lineage(model, transfer, learned_from(transfers, transfer), seed)
        for transfer in held_out or transfers
    }
    return tuple(f"Lineage markers, {name}: {each.sentence}" for name, each in found.items() if each.tone == "red")


def _part_or_reason(name: str, make: Callable[[], Part]) -> Part:
    """Make a part; where the events do not allow it, make one that says why, so that the others go on."""
    try:
        return make()
    except DataError as error:
        return Part(name, name.replace("_", " ").capitalize(), "cytometry", f"Cannot be said: {error}")
