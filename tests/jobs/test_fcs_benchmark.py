"""The benchmark of FCS files runs and names what it measured."""

import pytest
from neuronedit_jobs.benchmarks.speed import fcs

pytestmark = pytest.mark.bench


def test_every_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcs, "QUICK", 2_000)
    result = fcs.run(True)
    assert {fcs.FLOOR, fcs.OURS, fcs.WHOLE, fcs.FLOWIO, fcs.FLOWIO_BYTES, fcs.INGEST, fcs.READ, fcs.ROUND_TRIP} <= set(
        result.table.index
    )
    assert result.figures["mb_per_cpu_s"] > 0
    assert result.figures["export_mb_per_cpu_s"] > 0
    assert result.figures["ingest_mb_per_cpu_s"] > 0
    assert result.figures["fcs_to_fcs_events_per_cpu_s"] > 0
