"""A Ray session for one job: quiet, watched, closed at the end, with checks for free cores and GPUs."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from pydantic import Field, PositiveInt
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from neuronedit.adapters.cluster.command import catch_signals
from neuronedit.adapters.cluster.watch import watched, watched_start
from neuronedit.config import Config
from neuronedit.errors import ClusterError, ModelError
from neuronedit.model.pipeline.device import found_device


class RayConfig(Config):
    """Connection to Ray: a running cluster, or this machine."""

    address: str | None = Field(
        None,
        description="a running cluster; otherwise $RAY_ADDRESS (set in every Ray job), otherwise this machine",
    )
    num_cpus: PositiveInt | None = Field(None, description="cores to use when Ray runs on this machine only")


LOCAL_OBJECT_STORE_BYTES = 512 * 1024**2
"""Enough when files are streamed by the workers themselves."""

FREE_GPU_SECONDS = 120
"""How long a GPU may take to be free, and a worker to start on it."""


@contextmanager
def ray_session(config: RayConfig) -> Iterator[None]:
    """Connect to the cluster that the configuration or $RAY_ADDRESS names, else start Ray on this machine.

    A session that is open already is used as it is, and left open.

    A job of the command line is ended if Ray is lost, which Ray itself would do without a word.

    Raises:
        ClusterError: The cluster does not answer.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Every actor pool of Ray Data prints one alarming line about its arguments (ray #53727); they live as long
    # as the driver does, so the line tells nothing.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    _start(config)
    catch_signals()  # Ray's C++ core has handlers of its own
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    try:
        with watched():
            yield
    finally:
        ray.shutdown()


def _start(config: RayConfig) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    ray._private.worker.print_to_stdstream = _log_message
    ray._private.utils.set_sigterm_handler = lambda handler: None  # SIGTERM stops the job, not Ray alone
    address = config.address or os.environ.get("RAY_ADDRESS")
    if address:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"Ray cluster {address}: no connection ({error}). Check ray.address, $RAY_ADDRESS and the token."
            ) from error
    else:
        _have_token()
        cores = config.num_cpus or os.cpu_count() or 1
        # One slot above the cores: Ray Data hangs without a word when workers take every slot.
        try:
            with watched_start():
                ray.init(
                    address="local",
                    num_cpus=cores + 1,
                    include_dashboard=False,
                    object_store_memory=LOCAL_OBJECT_STORE_BYTES,
                    **quiet,
                )
        except Exception as error:  # Ray raises bare ones
            raise ClusterError(
                f"Ray did not start on this machine ({' '.join(str(error).split())}). Check that the home folder and "
                "/tmp/ray can be written, look at Ray's logs there, and run again."
            ) from error


def _log_message(message: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Log what Ray has to tell of its processes; it would print it amid the job's own result."""
    logging.getLogger("raylet").info("%s", "\n".join(message["lines"]))


@contextmanager
def driver_actor(kind: type, **options: Any) -> Iterator[Any]:
    """An actor on the driver's node, which is not lost before the driver is; it ends with the block.

    It is ended, not left to Ray's counts of references: a worker that was killed never gives its own back.

    Args:
        kind: Its class; started without arguments.
        options: Ray's options of the actor.
    """
    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor = ray.remote(num_cpus=0, scheduling_strategy=node, **options)(kind).remote()
    try:
        yield actor
    finally:
        ray.kill(actor)


def free_slots() -> int:
    """How many one-core workers the cluster takes while one slot stays free for Ray Data's own tasks.

    Raises:
        ClusterError: There is no room for a worker.
    """
    slots = int(ray.cluster_resources().get("CPU", 0)) - 1
    if slots < 1:
        raise ClusterError(
            f"The Ray cluster has {slots + 1} CPU; expected at least 2: one for a worker, and one for Ray Data's "
            "own tasks, which hang without it. Add a node, or raise num-cpus."
        )
    return slots


def check_workers(count: int, use_gpu: bool = False) -> None:
    """Check that a group of workers fits into the cluster.

    Raises:
        ClusterError: It does not, so that Ray would wait for ever.
    """
    if count > free_slots():
        raise ClusterError(
            f"{count} workers need {count + 1} CPU (one stays free for Ray Data); the cluster has {free_slots() + 1}. "
            "Lower workers.count, or add nodes."
        )
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if use_gpu and count > gpus:
        raise ClusterError(
            f"{count} workers with a GPU each; the cluster has {gpus} GPU. Lower workers.count, or use_gpu = false."
        )


@dataclass(frozen=True)
class GpuShare:
    """The share of a GPU that each of several workers has.

    Attributes:
        actors_per_gpu: Number of workers that share a GPU.
        device: Torch's name of the GPU.
    """

    actors_per_gpu: int
    device: str = "cuda"

    @property
    def num_gpus(self) -> float:
        """A worker's share, rounded down to what Ray counts in, so that all fit."""
        return 10_000 // self.actors_per_gpu / 10_000

    def slots(self) -> int:
        """How many workers the cluster's GPUs take.

        Raises:
            ClusterError: There is no GPU, none becomes free, or torch does not find it.
        """
        gpus = int(ray.cluster_resources().get("GPU", 0))
        if not gpus:
            raise ClusterError(
                "use_gpu: the Ray cluster has 0 GPU; expected at least 1. Add a node with one, or use_gpu = false."
            )
        asked = ray.remote(num_cpus=0, num_gpus=self.num_gpus)(_unusable).remote(self.device)
        try:
            reason: str | None = ray.get(asked, timeout=FREE_GPU_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            ray.cancel(asked)
            raise ClusterError(
                f"use_gpu: of the Ray cluster's {gpus} GPU none was free for {FREE_GPU_SECONDS} s; expected 1/"
                f"{self.actors_per_gpu} of one. Wait for other jobs to end, or use_gpu = false."
            ) from error
        if reason:
            raise ClusterError(f"use_gpu: a worker on a GPU of the Ray cluster cannot use it. {reason}")
        return gpus * self.actors_per_gpu


def _unusable(device: str) -> str | None:
    """Tell why torch cannot compute on a device; None if it can."""
    try:
        found_device(device)
    except ModelError as error:
        return str(error)
    return None


def _have_token() -> None:
    """Give Ray on this machine a token of its own where it cannot keep one in the home folder, as in a container."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    try:
        kept = Path.home() / ".ray" / "auth_token"
        kept.parent.mkdir(parents=True, exist_ok=True)
        usable = os.access(kept, os.R_OK) if kept.exists() else os.access(kept.parent, os.W_OK)
    except (OSError, RuntimeError):  # no such user, a folder that may not be written
        usable = False
    if not usable:
        os.environ["RAY_AUTH_TOKEN"] = uuid4().hex
