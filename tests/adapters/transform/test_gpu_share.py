"""Workers that share GPUs. Ray counts GPUs that there are none of: what they compute on is the processor."""

import json
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
import torch

from neuronedit.adapters.cluster import session as ray_session
from neuronedit.adapters.cluster.session import GpuShare
from neuronedit.errors import ClusterError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import save_model
from tests.adapters.transforming import here, outputs, run
from tests.disasters import start_driver

ON_ONE_GPU = """
import json, sys
from functools import partial
from pathlib import Path
import ray
from neuronedit.adapters.transform import pool as ray_data
from neuronedit.adapters.cluster.session import GpuShare
from neuronedit.errors import ClusterError
from neuronedit.model.saved.files import load_model
from tests.adapters.transforming import run

ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
cells, output, model = map(Path, sys.argv[1:])
told = {"slots": [GpuShare(actors, "cpu").slots() for actors in (1, 4, 7)]}
try:
    GpuShare(4).slots()
except ClusterError as error:
    told["error"] = str(error)
run(cells, output, load_model(model), transform=partial(ray_data.transform_parts, gpu=GpuShare(3, "cpu")))
print(json.dumps(told))
"""


def test_shares_of_a_gpu_add_up_to_no_more_than_one() -> None:
    shares = {actors: GpuShare(actors).num_gpus for actors in (1, 3, 4, 7, 60)}
    assert shares[1] == 1
    assert shares[4] == 0.25
    assert all(0 <= 1 - actors * share < 0.01 for actors, share in shares.items())


@pytest.mark.ray
@pytest.mark.skipif(torch.cuda.is_available(), reason="the cluster has a GPU")
def test_a_cluster_without_a_gpu_is_told(ray_cluster: None) -> None:
    with pytest.raises(ClusterError) as caught:
        GpuShare(4).slots()
    assert str(caught.value) == (
        "use_gpu: the Ray cluster has 0 GPU; expected at least 1. Add a node with one, or use_gpu = false."
    )


@pytest.mark.ray
@pytest.mark.skipif(torch.cuda.is_available(), reason="the cluster has a GPU")
def test_a_gpu_that_does_not_become_free_is_told(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0, "GPU": 2.0})
    monkeypatch.setattr(ray_session, "FREE_GPU_SECONDS", 1)
    with pytest.raises(ClusterError) as caught:
        GpuShare(4).slots()
    assert str(caught.value) == (
        "use_gpu: of the Ray cluster's 2 GPU none was free for 1 s; expected 1/4 of one. Wait for other jobs to end, "
        "or use_gpu = false."
    )


WITHOUT_CUDA = (
    f"There is no device 'cuda': torch {torch.__version__} finds 0 GPU. Install torch's build for CUDA and NVIDIA's "
    "driver, or compute on the processor."
)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds the GPU")
def test_why_a_device_cannot_be_used_is_told() -> None:
    assert ray_session._unusable("cuda") == WITHOUT_CUDA
    assert ray_session._unusable("cpu") is None


@pytest.fixture(scope="module")
def on_device(cells_once: Path, controls_model: EditModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, transformed in this process by the path that GPUs go."""
    target = tmp_path_factory.mktemp("device") / "edited"
    run(cells_once, target, controls_model, transform=partial(here, device="cpu"))
    return target


def test_the_path_that_gpus_go_comes_to_the_same_events(
    on_device: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    for path in undisturbed.glob("[!_]*.parquet"):
        found, expected = (pq.read_table(folder / path.name).to_pandas() for folder in (on_device, undisturbed))
        assert found.drop(columns=list(controls_model.panel.markers)).equals(
            expected.drop(columns=list(controls_model.panel.markers))
        )
        for marker in controls_model.panel.markers:
            # Sums in another order, on a scale where sinh's slope is 1.
            assert found[marker].to_numpy() == pytest.approx(expected[marker].to_numpy(), rel=1e-4, abs=1e-4)


@pytest.mark.ray
@pytest.mark.faults
@pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds the GPU")
def test_workers_share_a_gpu_and_one_that_torch_does_not_find_is_told(
    cells_once: Path, controls_model: EditModel, on_device: Path, tmp_path: Path
) -> None:
    save_model(controls_model, tmp_path / "model")
    driver = start_driver(ON_ONE_GPU, cells_once, tmp_path / "there", tmp_path / "model")
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err.decode()
    told = json.loads(out.decode().splitlines()[-1])
    assert told["slots"] == [1, 4, 7]
    assert told["error"] == f"use_gpu: a worker on a GPU of the Ray cluster cannot use it. {WITHOUT_CUDA}"
    assert outputs(tmp_path / "there") == outputs(on_device)
