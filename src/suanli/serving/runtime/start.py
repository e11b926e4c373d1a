"""A runtime's process: does the model fit, then a port, the model behind it, and an end without a lost request."""

import asyncio
import importlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import msgspec
import uvicorn
import uvloop

from suanli.domain.errors import SpecError, SuanliError
from suanli.domain.transition import EX_CONFIG
from suanli.serving.runtime import memory, options
from suanli.serving.runtime.app import App, Phase
from suanli.serving.runtime.endpoints import Endpoints
from suanli.serving.runtime.files import config_of, task_of
from suanli.serving.runtime.loaded import Compute, Loaded
from suanli.serving.runtime.metrics import Metrics
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.vllm import VllmPlan, vllm_argv

STOPPED_AT_ONCE = 128 + signal.SIGTERM
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
"""Nothing from the network, no threads beside our own, and TensorFlow takes an accelerator's memory as it needs it."""
ACCELERATOR_FRACTION = "SUANLI_ACCELERATOR_FRACTION"
"""Names the part of each accelerator that this replica may fill; unset where it has them whole."""
log = logging.getLogger("suanli.runtime")


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    given = options.read(argv)
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    try:
        if given.runtime == "vllm":
            become_vllm(given)
        if given.memory_max_bytes is not None and given.device == "cpu":
            fit = fit_of(given)
            if not fit.holds:
                sys.stderr.write(f"{given.name}: {fit.sentence}\n")
                return EX_CONFIG
            log.info(fit.sentence)
        listener = socket.create_server((given.host, given.port), backlog=1024)
    except SuanliError as error:
        return _ended(given, error)
    except OSError as error:
        sys.stderr.write(f"{given.name}: cannot listen on {given.host}:{given.port}: {error}\n")
        return 1
    return uvloop.run(Process(given, listener).run())


VLLM = "SUANLI_VLLM"
"""Where vLLM's program is. Its environment's Python is not Suanli's, so its folder doesn't belong into PATH."""


def become_vllm(given: Options) -> NoReturn:
    """Put vLLM in this process's place, with the devices and the share of them that the engine named in the
    environment, and beside the replica's processes on other nodes. Raises SpecError where it isn't installed.
    """
    named = os.environ.get(VLLM, "vllm")
    program = shutil.which(named)
    if program is None:
        raise SpecError(
            f"there is no program {named!r} where this replica runs",
            remedy=f"install vLLM into an environment of its own, and name it: env: {{{VLLM}: /opt/vllm/bin/vllm}}",
        )
    devices = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    plan = VllmPlan(
        model_dir=str(given.model_dir),
        served_name=given.name,
        port=given.port,
        host=given.host,
        accelerators=max(1, len(devices)),
        nodes=int(os.environ.get("WORLD_SIZE", "1")),
        node=int(os.environ.get("RANK", "0")),
        leader=(os.environ.get("MASTER_ADDR", given.host), int(os.environ.get("MASTER_PORT", "29500"))),
        accelerator_share=float(os.environ.get(ACCELERATOR_FRACTION, "1")),
        quantization=given.quantization or None,
        context_max=given.context_max,
        batch_max=given.batch_max,
        embeddings=given.task == "embeddings",
    )
    argv = vllm_argv(plan)
    log.info("%s", " ".join(argv))
    if given.token:
        os.environ["VLLM_API_KEY"] = given.token
    os.execv(program, argv)  # noqa: S606 - no shell is the point


def fit_of(given: Options) -> memory.Fit:
    """The arithmetic of the folder's files against the plan's memory; nothing is loaded for it."""
    width = 4 if given.device == "cpu" else None
    weights = memory.weights_bytes(
        given.model_dir, given.runtime, floats_as=width if given.runtime == "transformers" else None
    )
    runtime_bytes = memory.RUNTIME_BYTES[given.runtime]
    if given.device == "cuda":
        runtime_bytes = memory.CUDA_CONTEXT_BYTES
    return memory.fits(weights, _cache_of(given, width or 2), runtime_bytes, given.memory_max_bytes or 0)


def _cache_of(given: Options, width: int) -> memory.Cache | None:
    if given.runtime != "transformers" or (given.task or task_of(given.model_dir)) != "text-generation":
        return None
    config = config_of(given.model_dir)
    context = memory.context_of(config)
    return memory.Cache(
        batch=given.batch_max,
        context=min(context, given.context_max or context),
        token_bytes=memory.cache_token_bytes(config, width),
    )


def _ended(given: Options, error: SuanliError) -> int:
    remedy = f"; {error.remedy}" if error.remedy else ""
    sys.stderr.write(f"{given.name}: {error.sentence}{remedy}\n")
    return error.exit_code


class Process:
    """From listening to the end."""

    def __init__(self, given: Options, listener: socket.socket) -> None:
        self._given, self._listener = given, listener
        self._metrics = Metrics()
        self._code = 0

    async def run(self) -> int:
        self._app = App(self._metrics, self._given.token)
        config = uvicorn.Config(
            self._app, loop="none", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
            log_level="warning", timeout_keep_alive=75, server_header=False,
        )  # fmt: skip
        self._server = _Server(config)
        loop = asyncio.get_running_loop()
        for end in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(end, self._on_end)
        log.info("listening on http://%s:%d", *self._listener.getsockname()[:2])
        self._ending: asyncio.Task[None] | None = None
        loading = asyncio.create_task(self._load())
        await self._server.serve(sockets=[self._listener])
        loading.cancel()
        endpoints = (await asyncio.gather(loading, return_exceptions=True))[0]
        if isinstance(endpoints, Endpoints):
            await endpoints.close()
        sys.stdout.flush()
        sys.stderr.flush()
        # Libraries' threads and an unfinished load would hold a normal exit up; nothing is left to be written.
        os._exit(self._code)

    def _on_end(self) -> None:
        if self._app.phase is Phase.DRAINING:
            log.info("stopped at once")
            os._exit(STOPPED_AT_ONCE)
        self._ending = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        log.info("no new requests are taken; those in flight are finished")
        await self._app.drain()
        self._server.should_exit = True

    async def _load(self) -> Endpoints | None:
        try:
            loaded = await load(self._given, Compute(), self._metrics)
            await loaded.warm_up()
        except SuanliError as error:
            self._code = _ended(self._given, error)
        except Exception:
            log.exception("%s cannot be served", self._given.name)
            self._code = 1
        else:
            endpoints = Endpoints(loaded, self._given, self._metrics)
            self._app.serve(endpoints)
            log.info("ready: %s at %s", self._given.name, ", ".join(loaded.paths))
            return endpoints
        self._server.should_exit = True
        return None


class _Server(uvicorn.Server):
    """Leaves signals to Process: uvicorn would close the port at once and end with the signal's own code."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def load(given: Options, compute: Compute, metrics: Metrics) -> Loaded:
    """The model behind its abilities. Frameworks are imported in the compute thread, for that takes seconds."""
    if given.runtime == "python":
        from suanli.serving.runtime import code

        return await code.load(given, compute)
    if given.runtime == "onnx":
        onnx_model = await compute.run(_imported, "onnx_model")
        return await onnx_model.load(given, compute)
    task = given.task or task_of(given.model_dir)
    (await compute.run(_imported, "pretrained")).limit_growth()
    if task == "text-generation":
        text_generation = await compute.run(_imported, "text_generation")
        return await text_generation.load(given, compute, lambda *seen: metrics.batch("generate", *seen))
    if task == "embeddings":
        return await (await compute.run(_imported, "embedding")).load(given, compute)
    return await (await compute.run(_imported, "pipelines")).load(
        msgspec.structs.replace(given, task=task), compute
    )


def _imported(name: str) -> Any:
    return importlib.import_module(f"suanli.serving.runtime.{name}")
