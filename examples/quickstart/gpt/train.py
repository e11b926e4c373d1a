"""Train the GPT on all workers of the gang, data-parallel over gloo; stop on SIGTERM and go on from the same step.

    torchrun --nproc-per-node 2 -m gpt.train        # in the folder above; Suanli sets the same environment

What happens at a step depends on the seed and the step alone, so a run that was interrupted ends with the weights of
one that was not.
"""

import argparse
import math
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import suanli
from gpt import checkpoints, corpus
from gpt.model import GPT, Shape

STOPPED = 128 + signal.SIGTERM
REPORT_EVERY = 10


@dataclass(frozen=True)
class Plan:
    """How to train. `batch` is windows of one context length per step, over all workers."""

    steps: int = 300
    batch: int = 16
    learning_rate: float = 6e-3
    warmup: int = 30
    layers: int = 3
    seed: int = 0
    measure_every: int = 50
    checkpoint_every_s: float = 20.0

    def rate(self, step: int) -> float:
        """Learning rate: a linear rise, and half a cosine down to nothing."""
        rise = min(1.0, (step + 1) / self.warmup)
        return self.learning_rate * rise * (1 + math.cos(math.pi * step / self.steps)) / 2


def main() -> int:
    output, plan = _arguments()
    torch.set_num_threads(1)
    if os.environ.get("MASTER_ADDR") in {"127.0.0.1", "localhost"}:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo")
    try:
        if dist.get_rank() == 0:
            corpus.prepare(output / "corpus")  # the others wait at the barrier
        dist.barrier()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())  # until here there was nothing to save
        return Training(plan, output).run(stop)
    finally:
        dist.destroy_process_group()


class Training:
    """One attempt: it begins at the newest checkpoint and ends after the last step, or when asked to stop."""

    def __init__(self, plan: Plan, output: Path) -> None:
        self.plan, self.output = plan, output
        self.worker, self.workers = dist.get_rank(), dist.get_world_size()
        self.corpus = corpus.load(output / "corpus")
        torch.manual_seed(plan.seed)
        self.model = GPT(Shape(layers=plan.layers))
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self.step = checkpoints.resume(output / "checkpoints", self.model, self.optimiser)
        self.committed_step, self.committed_s = self.step, time.monotonic()
        self.reported_s, self.losses = time.monotonic(), list[float]()
        self.metrics = dict[str, float]()

    def run(self, stop: threading.Event) -> int:
        """The exit code: 0, or 143 where some worker was asked to stop; then all have left after the same step."""
        parallel = DistributedDataParallel(self.model, gradient_as_bucket_view=True)
        while self.step < self.plan.steps:
            if _any_worker(stop.is_set()):
                self.commit()
                dist.barrier()  # nobody leaves before the checkpoint is safe
                return STOPPED
            if self.step % self.plan.measure_every == 0 or not self.metrics:
                self.validate(every=4)
                self.report()
            self.learn(parallel)
            self.step += 1
            if self.step % REPORT_EVERY == 0:
                self.report()
            if time.monotonic() - self.committed_s > self.plan.checkpoint_every_s:
                self.commit()
        self.validate(every=1)
        self.commit()
        self.report()
        dist.barrier()
        return 0

    def learn(self, parallel: DistributedDataParallel) -> None:
        """One step on this worker's share of the batch, whose windows the seed and the step decide."""
        context, tokens = self.model.shape.context, self.corpus.train
        draw = np.random.default_rng((self.plan.seed, self.step))
        starts = draw.integers(0, len(tokens) - context, self.plan.batch)[self.worker :: self.workers]
        windows = _windows(tokens, starts, context)
        loss = cross_entropy(parallel(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        loss.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate(self.step)
        self.optimiser.step()
        self.optimiser.zero_grad()
        text_bytes = self.corpus.token_bytes[windows[:, 1:].numpy()].mean()
        self.losses.append(loss.item() / math.log(2) / text_bytes)

    @torch.inference_mode()
    def validate(self, every: int) -> None:
        """Bits per byte on the held-out files, over every window or one in `every`, shared by the workers."""
        context, tokens = self.model.shape.context, self.corpus.validation
        starts = np.arange(0, len(tokens) - context, context)[::every][self.worker :: self.workers]
        total = torch.zeros(2, dtype=torch.float64)
        for some in np.array_split(starts, max(1, len(starts) // 32)):
            windows = _windows(tokens, some, context)
            nats = cross_entropy(
                self.model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten(), reduction="sum"
            )
            total += torch.tensor([nats.item(), self.corpus.token_bytes[windows[:, 1:].numpy()].sum()])
        dist.all_reduce(total)
        self.metrics["val_bits_per_byte"] = (total[0] / math.log(2) / total[1]).item()

    def commit(self) -> None:
        """The first worker writes, for all hold the same; but not what is on disk already."""
        self.committed_s = time.monotonic()
        if self.worker == 0 and self.step != self.committed_step:
            facts = {"plan": asdict(self.plan), "metrics": self.metrics}
            tokenizer = self.output / "corpus" / "tokenizer.json"
            checkpoints.save(
                self.output / "checkpoints", self.step, self.model, self.optimiser, tokenizer, facts
            )
            print(f"checkpoint of step {self.step}", flush=True)
        self.committed_step = self.step

    def report(self) -> None:
        """What was learnt since the last report, as the first worker saw it."""
        if self.worker != 0:
            return
        if self.losses:
            now_s, tokens = time.monotonic(), len(self.losses) * self.plan.batch * self.model.shape.context
            self.metrics["loss"] = sum(self.losses) / len(self.losses)
            self.metrics["tokens_per_s"] = tokens / (now_s - self.reported_s)
            self.reported_s, self.losses = now_s, []
        suanli.progress(self.step, self.plan.steps, self.metrics)
        figures = "  ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        print(f"step {self.step}/{self.plan.steps}  {figures}", flush=True)


def _windows(tokens: np.ndarray, starts: np.ndarray, context: int) -> torch.Tensor:
    """Token ids [starts, context + 1]: each window's inputs, and its targets one further."""
    return torch.from_numpy(tokens[starts[:, None] + np.arange(context + 1)].astype(np.int64))


def _any_worker(flag: bool) -> bool:
    shared = torch.tensor(int(flag))
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return bool(shared)


def _arguments() -> tuple[Path, Plan]:
    parser = argparse.ArgumentParser(
        description="Train a small GPT on the source of Python's standard library."
    )
    parser.add_argument(
        "--output", type=Path, default=Path(os.environ.get("SUANLI_OUTPUT_DIR", "output/gpt"))
    )
    for field in fields(Plan):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default
        )
    chosen = vars(parser.parse_args())
    return chosen.pop("output"), Plan(**chosen)


if __name__ == "__main__":
    sys.exit(main())
