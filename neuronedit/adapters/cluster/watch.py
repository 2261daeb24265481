"""A watch over Ray: where it is lost, the job ends in one line, before Ray's C++ core ends the process without one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic

import psutil
import ray

from neuronedit.adapters.cluster.command import end_job

RAYLET, HEAD = "raylet", "gcs_server"
"""The names of Ray's processes for a node, and for the cluster."""

SECONDS_BETWEEN_LOOKS = 0.1
"""Between looks at Ray's processes on this machine: its C++ core may end ours within a second of their end."""

SECONDS_BETWEEN_CALLS = 5.0
SECONDS_WITHOUT_ANSWER = 45.0
"""After which a cluster's head counts as lost; Ray itself ends the driver's process after 60 s, without a word."""


SECONDS_TO_SAY_SO = 5.0
"""How long Ray has to tell by an error that its head ended while it started; mostly it does at once."""


@contextmanager
def watched_start() -> Iterator[None]:
    """End the job when the head ends while Ray starts on this machine in the block, and Ray itself does not say so.

    Ray's C++ core would look for it for 60 s, and then end the process with status 1 and words of its own.
    """
    done = Event()
    Thread(target=_watch_start, args=(done,), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch_start(done: Event) -> None:
    head = None
    while not done.wait(SECONDS_BETWEEN_LOOKS):
        head = head or next(filter(_is_head, psutil.Process().children()), None)
        if head and not _lives(head):
            done.wait(SECONDS_TO_SAY_SO)
            _end_without({HEAD: head}, done)
            return


def _is_head(process: psutil.Process) -> bool:
    try:
        return bool(process.name() == HEAD)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def watched() -> Iterator[None]:
    """End the job when Ray is lost while the block runs."""
    done, processes = Event(), _processes_here()
    Thread(target=_watch, args=(processes, done), daemon=True).start()
    try:
        yield
    except Exception:
        _end_without(processes)  # that is the reason, whatever came of it
        raise
    finally:
        done.set()


def _watch(processes: Mapping[str, psutil.Process], done: Event) -> None:
    called = answered = monotonic()
    while not done.wait(SECONDS_BETWEEN_LOOKS):
        if _end_without(processes, done):
            return
        if monotonic() - called >= SECONDS_BETWEEN_CALLS:
            answers = _head_answers()
            called = monotonic()
            answered = called if answers else answered
            if called - answered >= SECONDS_WITHOUT_ANSWER and not done.is_set():
                end_job(f"Ray was lost (its head has not answered for {called - answered:.0f} s).")
                return


def _end_without(processes: Mapping[str, psutil.Process], done: Event | None = None) -> bool:
    """End the job if one of these processes has ended, unless it is done; tell whether one has."""
    ended = [name for name, process in processes.items() if not _lives(process)]
    if not ended or (done and done.is_set()):
        return bool(ended)
    ends = end_job(f"Ray was lost ({', '.join(f'its process {name} ended' for name in ended)}).")
    if ends and HEAD in ended:  # nobody else ends the others
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    return True


def _processes_here() -> dict[str, psutil.Process]:
    """Find the processes that this driver cannot do without: its raylet, and the head if Ray was started here."""
    node = ray._private.worker._global_node
    if node is None:  # a driver that speaks to the cluster through Ray Client
        return {}
    here = {}
    for process in psutil.process_iter(["name", "ppid", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["name"] == RAYLET and f"--raylet_socket_name={node.raylet_socket_name}" in words:
            here[RAYLET] = process
        if process.info["name"] == HEAD and process.info["ppid"] == os.getpid():
            here[HEAD] = process
    return here


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _head_answers() -> bool:
    """Whether the cluster's head answers, a driver without one of its own included."""
    head = getattr(ray._private.worker.global_worker, "gcs_client", None)
    if head is None:
        return True
    try:
        head.check_alive([ray.NodeID.from_hex(ray.get_runtime_context().get_node_id())], timeout=SECONDS_BETWEEN_CALLS)
    except ray.exceptions.RayError:
        return False
    return True
