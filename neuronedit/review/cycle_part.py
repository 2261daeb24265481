"""Cycle consistency on the page."""

from neuronedit.model import EditModel
from neuronedit.review.bars import bar_figure
from neuronedit.review.cycle import Cycle, cycle
from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Drawing, Part


def cycle_part(subject: Neurons, model: EditModel, seed: int = 0) -> Part:
    """Row 19: the distance left after the edit and the way back, and the drift of edited activations encoded again."""
    found = cycle(subject, model, seed)
    markers = found.marker_table()
    drawing = Drawing(
        "cycle",
        lambda: bar_figure(
            markers.set_index("marker")[["left"]].rename(columns={"left": "left after there and back"}),
            "root mean square distance of an event from where it was (standard deviations)",
        ),
        "Each marker's distance from where it was after the edit and its inverse, the largest first",
        read_markers(found),
    )
    return Part(
        "cycle",
        "Cycle consistency",
        "consistency",
        read_cycle(found),
        {"cycle_markers": markers, "cycle_neurons": found.neuron_table()},
        (drawing,),
        {"cycle_rmse": found.rmse, "cycle_share": found.share, "reencode_drift": found.mean_drift},
        "" if found.own_inverse else "The model has no inverse edit; the way back was fitted for this review.",
    )


def read_cycle(found: Cycle) -> str:
    """Say how much is left after the way back, and how far the network misreads its own output."""
    return (
        f"After the edit and its inverse the source's events are {found.rmse:.3f} standard deviations from where they "
        f"were, {found.share:.0%} of the edit's own size; edited activations that are decoded and encoded again drift "
        f"by {found.mean_drift:.3f} of the layer's spread."
    )


def read_markers(found: Cycle) -> str:
    """Name the marker that comes back least well."""
    furthest = found.marker_table().iloc[0]
    return (
        f"{furthest['marker']} comes back least well: the edit moves it by {furthest['moved']:.3f}, and "
        f"{furthest['left']:.3f} is left after the way back."
    )
