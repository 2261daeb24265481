"""Receipts: which outputs count as finished."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.transform.output_folder import TransformPlan
from tests.adapters.claiming import claim, standing, write_file


def test_a_file_counts_as_finished_only_with_this_plans_receipt(target: Path, plan: TransformPlan) -> None:
    with claim(target, plan) as output:
        complete, other, plain = plan.inputs.files[:3]
        receipt = write_file(output, plan, complete.name)
        write_file(replace(output, plan_digest="another"), plan, other.name)
        pq.write_table(pq.read_table(plain.path), target / plain.name)
        assert standing(output, plan) == [complete.name]
        assert output.receipt(FilePart.whole(complete)) == receipt


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:0], lambda content: content[:-5], lambda content: content[::-1]]
)
def test_a_damaged_output_is_not_finished(target: Path, plan: TransformPlan, spoil: Callable[[bytes], bytes]) -> None:
    with claim(target, plan) as output:
        write_file(output, plan, "A-control.parquet")
        path = target / "A-control.parquet"
        path.write_bytes(spoil(path.read_bytes()))
        assert standing(output, plan) == []


@pytest.mark.parametrize("text", ["", "{", "{}", '{"plan": 1}'])
def test_a_damaged_receipt_is_none(target: Path, plan: TransformPlan, text: str) -> None:
    with claim(target, plan) as output:
        write_file(output, plan, "A-control.parquet")
        (target / "_receipts/A-control.parquet.json").write_text(text)
        assert standing(output, plan) == []
