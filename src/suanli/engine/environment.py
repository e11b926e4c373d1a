"""What a worker finds in its environment. Pure: the base and all that was agreed upon are passed in."""

import json
import math
from collections.abc import Mapping, Sequence

import msgspec

from suanli.domain.observation import Launch
from suanli.domain.resources import Share
from suanli.domain.workload import Kind

INHERITED = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "ROCM_PATH", "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME",
)  # fmt: skip
"""All that passes from the node to a worker, so that no secret of the controller or the cluster does."""

STORAGE = ("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_")
"""What begins so, the clients of object stores go by. It reaches what fetches a model, in one variable which the
program that runs with the model does not find."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES")
"""Not ROCR_VISIBLE_DEVICES: HIP counts from what that one leaves over, so that both together hide too much."""


class Rendezvous(msgspec.Struct, frozen=True):
    """Where the workers of a gang meet: host and port of each rank; for a service the port it shall open."""

    addresses: tuple[tuple[str, int], ...]
    service_port: int | None = None


def worker_environment(
    launch: Launch,
    rank: int,
    rendezvous: Rendezvous,
    *,
    base: Mapping[str, str],
    python_folder: str,
    progress_file: str,
) -> dict[str, str]:
    """Variables of one worker: the node's base, torchrun's, Suanli's, and the user's own above all."""
    workload = launch.workload
    share = launch.placements[rank // workload.workers_per_node].share
    environment = {name: base[name] for name in INHERITED if name in base}
    environment |= {
        "PATH": f"{python_folder}:{base.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
        "PYTHONUNBUFFERED": "1",
        **_threads(share, workload.workers_per_node),
        **_devices(share),
        **_torchrun(rank, workload.workers_per_node, rendezvous.addresses),
        "TF_CONFIG": _tf_config(rank, rendezvous.addresses),
        "SUANLI_WORKLOAD": workload.name,
        "SUANLI_ATTEMPT": str(launch.number),
        "SUANLI_OUTPUT_DIR": launch.output_dir,
        "SUANLI_PROGRESS_FILE": progress_file,
    }
    if launch.model_dir:
        environment["SUANLI_MODEL_DIR"] = launch.model_dir
    if workload.model is not None:
        found = {name: value for name, value in base.items() if name.startswith(STORAGE)}
        environment["SUANLI_STORAGE_ENVIRONMENT"] = json.dumps(found)
    if workload.kind is Kind.SERVE:
        environment["SUANLI_REPLICA"] = launch.key.rpartition("/")[2]
        environment["PORT"] = str(rendezvous.service_port)
        environment["SUANLI_LISTEN_HOST"] = launch.listen_host
        if launch.token:
            environment["SUANLI_REPLICA_TOKEN"] = launch.token
    return environment | workload.env


def _threads(share: Share, workers: int) -> dict[str, str]:
    """As many threads as whole cores are held: more would only burn CPU against each other."""
    threads = str(max(1, math.floor(share.cpus / workers)))
    return dict.fromkeys(THREAD_VARIABLES, threads)


def _devices(share: Share) -> dict[str, str]:
    """All devices of the placement for each of its workers, LOCAL_RANK picks one, as with torchrun. None: empty."""
    visible: dict[str, str] = dict.fromkeys(DEVICE_VARIABLES, ",".join(map(str, share.devices)))
    if 0.0 < share.accelerator_count < 1.0:
        visible["SUANLI_ACCELERATOR_FRACTION"] = f"{share.accelerator_count:g}"
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **visible}  # the order in which they were discovered


def _torchrun(rank: int, per_node: int, addresses: Sequence[tuple[str, int]]) -> dict[str, str]:
    host, port = addresses[0]
    node_rank = str(rank // per_node)
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(addresses)),
        "LOCAL_RANK": str(rank % per_node),
        "LOCAL_WORLD_SIZE": str(per_node),
        "NODE_RANK": node_rank,
        "GROUP_RANK": node_rank,
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
    }


def _tf_config(rank: int, addresses: Sequence[tuple[str, int]]) -> str:
    cluster = {"worker": [f"{host}:{port}" for host, port in addresses]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})
