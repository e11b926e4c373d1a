"""What a worker finds in its environment."""

import json

from suanli.domain.observation import Launch
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import Kind, ModelUse, Service, Workload
from suanli.engine.environment import Rendezvous, worker_environment

TWO_OF_A = Share(cpus=6, devices=(1, 3))
ADDRESSES = (("10.0.0.1", 21000), ("10.0.0.1", 21001), ("10.0.0.2", 22000), ("10.0.0.2", 22001))


def environment_of(
    rank: int,
    base: dict[str, str] | None = None,
    *,
    share: Share = TWO_OF_A,
    **more: object,
) -> dict[str, str]:
    fields: dict[str, object] = {"kind": Kind.TRAIN, **more}
    workload = Workload(name="gpt", run=("x",), nodes=2, workers_per_node=2, **fields)  # pyright: ignore[reportArgumentType]
    launch = Launch(
        key="gpt/4" if workload.service else "gpt",
        number=7,
        workload=workload,
        placements=(Placement("a", share), Placement("b", Share(cpus=1))),
        output_dir="/out",
        log_dir="/log",
        model_dir="/model",
    )
    return worker_environment(
        launch,
        rank,
        Rendezvous(ADDRESSES, 8000 if workload.service else None),
        base=base or {},
        python_folder="/venv/bin",
        progress_file="/log/p.json",
    )


def test_a_gang_meets_as_under_torchrun() -> None:
    environment = environment_of(2)
    assert {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")} == {
        "RANK": "2",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
    }
    assert (environment["NODE_RANK"], environment["GROUP_RANK"]) == ("1", "1")
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("10.0.0.1", "21000")


def test_a_gang_meets_as_under_tensorflow() -> None:
    config = json.loads(environment_of(3)["TF_CONFIG"])
    assert config["task"] == {"type": "worker", "index": 3}
    assert config["cluster"]["worker"] == [
        "10.0.0.1:21000",
        "10.0.0.1:21001",
        "10.0.0.2:22000",
        "10.0.0.2:22001",
    ]


def test_only_the_devices_of_the_placement_are_visible() -> None:
    assert environment_of(1)["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert environment_of(2)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment_of(0)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_part_of_a_device_is_told_so_that_its_memory_can_be_shared() -> None:
    assert "SUANLI_ACCELERATOR_FRACTION" not in environment_of(1)
    share = Share(cpus=1.0, accelerator="T4", devices=(0,), device_share=0.25)
    assert environment_of(0, share=share)["SUANLI_ACCELERATOR_FRACTION"] == "0.25"


def test_threads_are_as_many_as_whole_cores_and_at_least_one() -> None:
    assert environment_of(0)["OMP_NUM_THREADS"] == "3"
    assert environment_of(2)["OMP_NUM_THREADS"] == "1"


def test_a_worker_knows_what_it_is_and_where_to_write() -> None:
    environment = environment_of(0)
    assert {name: value for name, value in environment.items() if name.startswith("SUANLI_")} == {
        "SUANLI_WORKLOAD": "gpt",
        "SUANLI_ATTEMPT": "7",
        "SUANLI_OUTPUT_DIR": "/out",
        "SUANLI_PROGRESS_FILE": "/log/p.json",
        "SUANLI_MODEL_DIR": "/model",
    }


def test_how_the_node_reaches_object_stores_is_told_only_to_what_fetches_a_model() -> None:
    base = {"AWS_SECRET_ACCESS_KEY": "s", "FSSPEC_S3_ANON": "true", "SUANLI_TOKEN": "t"}
    environment = environment_of(0, base, model=ModelUse(ref="gpt/1", name="gpt", number=1))
    assert json.loads(environment["SUANLI_STORAGE_ENVIRONMENT"]) == {
        "AWS_SECRET_ACCESS_KEY": "s",
        "FSSPEC_S3_ANON": "true",
    }
    assert "s" not in environment.values()
    assert "SUANLI_STORAGE_ENVIRONMENT" not in environment_of(0, base)


def test_a_replica_knows_its_number_and_port() -> None:
    environment = environment_of(1, kind=Kind.SERVE, service=Service())
    assert (environment["SUANLI_REPLICA"], environment["PORT"]) == ("4", "8000")
    assert environment["SUANLI_LISTEN_HOST"] == "127.0.0.1"
    assert "SUANLI_REPLICA_TOKEN" not in environment


def test_of_the_nodes_environment_only_the_harmless_passes_and_the_users_own_wins() -> None:
    base = {
        "HOME": "/home/u",
        "PATH": "/usr/bin",
        "RAY_AUTH_TOKEN_PATH": "/t",
        "AWS_SECRET": "s",
        "SUANLI_TOKEN": "s",
    }
    environment = environment_of(0, base, env={"PATH": "/mine", "LANG": "C"})
    assert environment["HOME"] == "/home/u"
    assert (environment["PATH"], environment["LANG"]) == ("/mine", "C")
    assert not {"RAY_AUTH_TOKEN_PATH", "AWS_SECRET", "SUANLI_TOKEN"} & environment.keys()
    assert environment_of(0, base)["PATH"] == "/venv/bin:/usr/bin"
