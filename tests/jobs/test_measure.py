"""Each measurement in a process of its own: this one may have a Ray cluster below it."""

import subprocess
import sys
from typing import Any

import pytest
from neuronedit_jobs.benchmarks.measure import Cost, in_new_process, measured, side_by_side

pytestmark = pytest.mark.bench

SPIN = "import time\nwhile time.process_time() < {}: pass"


def spin(barrier: Any, seconds: float) -> Cost:
    if barrier:
        barrier.wait()
    with measured(together=True) as cost:
        subprocess.run([sys.executable, "-c", SPIN.format(seconds)], check=True)
    return cost


def test_the_seconds_of_a_process_that_has_ended_are_counted() -> None:
    cost = in_new_process(spin, None, 1.5)
    assert 0.8 < cost.cpu_s < 2.3  # looked at every 0.2 s: so much, and less than a start, is missed
    assert cost.wall_s > 1.4


def test_memory_is_told_of_each_process_and_of_all_together() -> None:
    cost = in_new_process(spin, None, 1.5)
    assert cost.own_rss_mb > cost.worker_rss_mb > 1
    assert cost.peak_rss_mb == cost.own_rss_mb
    assert 1 < cost.together_mb < cost.own_rss_mb + cost.worker_rss_mb


def test_fixed_costs_are_taken_off() -> None:
    rest = Cost(wall_s=5, cpu_s=4, own_rss_mb=300).less(Cost(wall_s=2, cpu_s=3, own_rss_mb=900))
    assert rest == Cost(wall_s=3, cpu_s=1, own_rss_mb=300)


def test_processes_side_by_side_cost_the_sum_on_the_clock_of_the_slowest() -> None:
    cost = side_by_side(spin, (0.6,), (1.2,))
    assert 0.9 < cost.cpu_s < 3
    assert cost.wall_s > 1.1


@pytest.mark.parametrize("together", [True, False])
def test_memory_of_all_together_is_measured_only_where_it_is_asked_for(together: bool) -> None:
    with measured(together=together) as cost:
        subprocess.run([sys.executable, "-c", SPIN.format(0.4)], check=True)
    assert (cost.together_mb > 0) == together
