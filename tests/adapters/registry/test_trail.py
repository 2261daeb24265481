from neuronedit.adapters.registry.lineage import Trail

DATA = Trail("data", "cells", {"events": 600})
RUN = Trail("run", "r1", {"status": "FINISHED", "by": None}, ("run r1: it was deleted.",), (DATA,))
MODEL = Trail("model", "models:/cells/1", {"gate": ["support pass", "confounding fail"]}, (), (RUN,))
TRAIL = Trail("output", "edited", {"events": 2500, "left out": 0}, (), (Trail("input", "cells"), MODEL))


def test_the_tree_tells_every_link_fact_and_problem_in_its_place() -> None:
    assert TRAIL.tree().splitlines() == [
        "output edited",
        "│    events: 2500",
        "│    left out: 0",
        "├─ input cells",
        "└─ model models:/cells/1",
        "   │    gate: support pass",
        "   │    gate: confounding fail",
        "   └─ run r1",
        "      │    status: FINISHED",
        "      │    !! run r1: it was deleted.",
        "      └─ data cells",
        "              events: 600",
    ]


def test_problems_are_found_however_deep() -> None:
    assert TRAIL.broken == ["run r1: it was deleted."]


def test_json_has_every_link() -> None:
    found = TRAIL.to_json()["origins"][1]["origins"][0]
    assert (found["kind"], found["title"], found["problems"]) == ("run", "r1", ["run r1: it was deleted."])
    assert found["origins"] == [
        {"kind": "data", "title": "cells", "facts": {"events": 600}, "problems": [], "origins": []}
    ]
