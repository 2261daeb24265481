# %% [markdown]
# # A cluster in ten minutes
#
# neuronedit's jobs run on any Ray cluster. Here one is made of this machine: a head and two workers, each a node of
# its own. A model is trained on it, applied to 1.2 million events, and one of the workers is killed meanwhile, to see
# that nothing is lost. On a real cluster (KubeRay, or `ray start` on machines) all but the first cell is the same;
# [On a cluster](../guide/cluster.md) has manifests, tokens and storages. `pip install 'neuronedit[jobs]'`; three
# minutes on two cores.
#
# ## The nodes
#
# On machines of their own, `ray start --head` and `ray start --address=HEAD:6379` are enough. Several nodes on one
# machine need ports and folders of their own:

# %%
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from neuronedit_jobs import demo_cells
from ray.job_submission import JobSubmissionClient

RAY = str(Path(sys.executable).with_name("ray"))
OWN_PORTS = ["dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export"]
OWN_PORTS += ["node-manager", "object-manager"]
private = Path(tempfile.mkdtemp(prefix="ne-", dir="/tmp"))
environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
environment |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
os.environ |= {"RAY_AUTH_MODE": "disabled"}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_node(name, *arguments):
    """Start a node, and give its process once it runs."""
    ports = [f"--{port}-port={free_port()}" for port in OWN_PORTS]
    ports += ["--min-worker-port=0", "--max-worker-port=0", f"--temp-dir={private / name}"]
    log = private / f"{name}.log"
    command = [RAY, "start", "--block", *arguments, "--object-store-memory=200000000", *ports]
    node = subprocess.Popen(
        command, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True
    )
    while "Ray runtime started" not in log.read_text():
        assert node.poll() is None, log.read_text()
        time.sleep(0.5)
    return node


port, dashboard = free_port(), free_port()
nodes = {"head": start_node("head", "--head", f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=0")}
for name in ("worker1", "worker2"):
    nodes[name] = start_node(name, f"--address=127.0.0.1:{port}", "--num-cpus=1")
print(f"{len(nodes)} nodes; the head takes jobs at its port for the dashboard")

# %% [markdown]
# ## Data that all nodes see
#
# A shared folder, or S3, GCS, Azure. Here: six real FCS files, ingested into Parquet, and the same events 200 times
# over, as a dataset that is worth a cluster.

# %%
demo_cells.main(["fcs"])
panel = Path(demo_cells.__file__).with_name("demo_panel.csv")
ingest = ["neuronedit_jobs", "ingest", "--sample-sheet", "fcs/samples.csv", "--panel", panel, "--output", "cells"]
print(subprocess.run([sys.executable, "-m", *map(str, ingest)], capture_output=True, text=True, check=True).stdout)

Path("many").mkdir(exist_ok=True)
for path in Path("cells").glob("*.parquet"):
    table = pq.read_table(path)
    with pq.ParquetWriter(Path("many", path.name), table.schema) as writer:
        for _ in range(200):
            writer.write_table(table)
print(f"{sum(pq.read_metadata(path).num_rows for path in Path('many').iterdir()):,} events")

# %% [markdown]
# ## Train
#
# What is submitted is a folder with the settings, never the data. Paths in it are those that the nodes see.

# %%
here = Path.cwd()
Path("job").mkdir(exist_ok=True)
Path("job/panel.csv").write_text(panel.read_text())
Path("job/train.toml").write_text(f'''
[data]
path = "{here}/cells"
[panel]
file = "panel.csv"
[design]
kind = "controls"
control = {{ role = "control" }}
batch_column = "batch_id"
reference = "PTLG021"
[training]
epochs = 15
minibatch = 256
[workers]
storage = "{here}/checkpoints"
[model]
name = "batches"
alias = "prod"
[tracking]
uri = "sqlite:///{here}/mlflow.db"
artifacts = "{here}/artifacts"
''')
client = JobSubmissionClient(f"http://127.0.0.1:{dashboard}")


def submit(job):
    return client.submit_job(entrypoint=f"python -m neuronedit_jobs {job}", runtime_env={"working_dir": "job"})


def finish(job):
    """Wait for a job, and give its log."""
    while not client.get_job_status(job).is_terminal():
        time.sleep(1)
    log = client.get_job_logs(job)
    assert client.get_job_status(job) == "SUCCEEDED", log
    return log.splitlines()


said = finish(submit("train train.toml"))
print("\n".join(line for line in said if "models:/batches/1" in line)[-300:])

# %% [markdown]
# ## Apply it, and lose a node
#
# Each file is written whole or not at all, by one of the workers. As soon as the first file stands, one worker node
# is killed, with everything that runs on it.

# %%
store = f"--set tracking.uri=sqlite:///{here}/mlflow.db"
job = submit(f"transform --model models:/batches/1 --set data.path={here}/many --output {here}/edited {store}")
while not list(Path("edited").glob("*.parquet")) and not client.get_job_status(job).is_terminal():
    time.sleep(0.1)
print(f"{len(list(Path('edited').glob('*.parquet')))} of 6 files stand; worker2 is killed")
os.killpg(nodes.pop("worker2").pid, signal.SIGKILL)
print(next(line for line in reversed(finish(job)) if "events in 6 files" in line).replace(str(here), "."))

# %% [markdown]
# Nothing is lost, and nothing is there twice: `verify` compares every file with the digests in the manifest.

# %%
verify = [sys.executable, "-m", "neuronedit_jobs", "verify", "edited"]
print(subprocess.run(verify, capture_output=True, text=True, check=True).stdout)
manifest = json.loads(Path("edited/_manifest.json").read_text())
print(pd.DataFrame(manifest["outputs"])[["file", "events", "edited"]].to_string(index=False))

# %% [markdown]
# A driver that dies is another matter: run the same command again with `--resume`, and what stands is kept.
#
# ## Stop
#
# Only what was started here:

# %%
for node in nodes.values():
    os.killpg(node.pid, signal.SIGTERM)
for node in nodes.values():
    node.wait()

# %% [markdown]
# Next: [manifests for KubeRay, tokens, storages](../guide/cluster.md), [what it costs](../speed.md), [going
# back](../howto.md#going-back).
