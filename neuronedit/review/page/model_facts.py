"""Facts of a model, in words for the page."""

from collections.abc import Mapping

from neuronedit.cells.design import PairDesign
from neuronedit.cells.selection import describe
from neuronedit.cells.transforms import Transform, all_cofactors
from neuronedit.edits.steps import OPERATORS
from neuronedit.measures.evidence import read_evidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.expected_error import expected_extrapolation_errors, expected_sentence


def model_facts(model: EditModel) -> dict[str, str]:
    """Panel, design, edits, network, and whether the extrapolation population was seen, in words.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> facts = model_facts(example_model())
        >>> facts["panel"], facts["autoencoder"]
        ('3 markers: CD3, CD4, pSTAT1', '3-3-3 neurons')
    """
    architecture = model.autoencoder.architecture
    widths = [model.panel.n_markers, *architecture.hidden, architecture.code]
    plans = {
        f"{member.plan}: {' → '.join(_step(step.plan.model_dump()) for step in member.steps)}"
        for edit in model.edits.values()
        for member in edit.members
    }
    chosen = {name: edit.summary for name, edit in model.edits.items() if edit.choice}
    judged, evidence = _extrapolations(model), read_evidence(model.facts)
    expected = {
        name: expected_sentence(model.edits[name], error, evidence.get(name), named=name in judged)
        for name, error in expected_extrapolation_errors(model.edits, judged, evidence).items()
    }
    facts = {
        "panel": f"{model.panel.n_markers} markers: {', '.join(model.panel.markers)}",
        **_transforms(model),
        "design": _design(model),
        "edits": f"{len(model.edits)}: {', '.join(model.edits)}",
        **{f"markers that {name} leaves as they are": text for name, text in _left(model).items()},
        **{f"markers that {edits} may not move": unmoved for edits, unmoved in unmoved_markers(model).items()},
        "plan of the edit": "; ".join(sorted(plans)) or "none",
        **{f"choice for {name}": summary for name, summary in chosen.items()},
        **{f"error of {name}": sentence for name, sentence in expected.items()},
        **{f"events for {name}": found["sentence"] for name, found in judged.items()},
        "autoencoder": f"{'-'.join(map(str, [*widths, *widths[-2::-1]]))} neurons",
        "extrapolation population": _extrapolation(model),
    }
    parent, search = model.facts.get("parent"), model.facts.get("search")
    facts |= {"updated from": str(parent["uri"])} if parent else {}
    facts |= {"search": str(search["sentence"])} if search else {}
    events = model.facts.get("events")
    return facts | ({"events by population": _counts(events)} if isinstance(events, Mapping) else {})


def unmoved_markers(model: EditModel) -> dict[str, str]:
    """The markers that edits may not move, by the edits' names: by all of them, unless a model was made by hand.

    Example:
        >>> from dataclasses import replace
        >>> from neuronedit.model.example import example_model
        >>> model = example_model()
        >>> unmoved_markers(replace(model, edits={"pair": replace(model.edits["pair"], unmoved=(0, 1))}))
        {'pair': 'CD3, CD4'}
    """
    unmoved = model.unmoved
    edits = {kind: [name for name, markers in unmoved.items() if markers == kind] for kind in unmoved.values()}
    return {", ".join(names): ", ".join(markers) for markers, names in edits.items()}


def _transforms(model: EditModel) -> dict[str, str]:
    """The cofactors where all transforms are arcsinh; otherwise the markers of each transform."""
    if (cofactors := all_cofactors(model.panel.transforms)) is not None:
        return {"cofactors": ", ".join(f"{cofactor:g}" for cofactor in sorted(set(cofactors)))}
    markers: dict[Transform, list[str]] = {}
    for marker, transform in zip(model.panel.markers, model.panel.transforms, strict=True):
        markers.setdefault(transform, []).append(marker)
    return {"transforms": "; ".join(f"{transform} of {', '.join(names)}" for transform, names in markers.items())}


def _left(model: EditModel) -> dict[str, str]:
    return {
        name: "; ".join(f"{marker}: {reason}" for marker, reason in reasons.items())
        for name, reasons in model.unlearnable.items()
    }


def _step(plan: Mapping[str, object]) -> str:
    counts = [f"{plan[option]} {option.removeprefix('n_')}" for option in OPERATORS[str(plan["operator"])].options]
    return f"{plan['layer']} ({', '.join([str(plan['operator']), str(plan['form']), *counts])})"


def _design(model: EditModel) -> str:
    design = model.design
    samples = f", samples named by {design.sample_column}" if design.sample_column else ""
    if isinstance(design, PairDesign):
        return f"pair: source {describe(design.source)}, target {describe(design.target)}{samples}"
    return f"controls {describe(design.control)} of each {design.batch_column}, led to {design.reference}{samples}"


def _extrapolations(model: EditModel) -> Mapping[str, Mapping[str, str]]:
    found = model.facts.get("extrapolation", {})
    return found if isinstance(found, Mapping) else {}


def _extrapolation(model: EditModel) -> str:
    if not model.facts.get("extrapolation_seen", bool(model.design.extrapolation)):
        return "not seen: the autoencoder was trained on sources and targets only"
    return f"{describe(model.design.extrapolation)}: seen by the autoencoder in training"


def _counts(events: Mapping[str, int]) -> str:
    return ", ".join(f"{population} {n_events:,}" for population, n_events in events.items())
