"""The training loop: one flat narrative for every task.

Randomness is a function of (seed, step, rank); learning rates are a function of the step; so the
state of a run is its step, weights, averaged weights and optimisers, and a resumed run is the
uninterrupted one.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from blur2blur import images
from blur2blur.checkpoints import load_pickle_safely, save_network, save_state
from blur2blur.data.datasets import StepSampler
from blur2blur.errors import CheckpointError
from blur2blur.training.run_folder import BEST, LAST, STATE, RunLog
from blur2blur.training.settings import OptimiserSettings
from blur2blur.training.sheets import sheet
from blur2blur.training.task import Task

Progress = Callable[[int, dict[str, float]], None]


def learning_rate(settings: OptimiserSettings, base: float, step: int, steps: int) -> float:
    """Return the rate of `step` in a run of `steps`: warm-up, constant part, then the decay."""
    if step < settings.warmup_steps:
        return base * (step + 1) / settings.warmup_steps
    start = max(settings.warmup_steps, round(settings.constant_fraction * steps))
    if settings.schedule == "constant" or step < start:
        return base
    # the last step still learns: the decay would reach zero one step after it
    remaining = 1 - (step - start) / max(1, steps - start)
    if settings.schedule == "linear":
        return base * remaining
    return base * (0.5 - 0.5 * math.cos(math.pi * remaining))


def step_generator(seed: int, step: int, rank: int) -> torch.Generator:
    """Return a CPU generator that depends on seed, step and rank only."""
    state = np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop after the step; the second one kills."""
    requested = False
    previous = signal.getsignal(signal.SIGINT)

    def request(_signal: int, _frame: object) -> None:
        nonlocal requested
        requested = True
        signal.signal(signal.SIGINT, previous)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    signal.signal(signal.SIGINT, request)
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, previous)


def _ignore_interrupts(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential moving average of `network`, quicker while it is young."""

    def average(mean: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return mean.lerp(current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return AveragedModel(network, avg_fn=average)


def _state(task: Task, averaged: AveragedModel, step: int, best: float) -> dict[str, Any]:
    return {
        "step": step,
        "best": best,
        "networks": {name: network.state_dict() for name, network in task.networks.items()},
        "averaged": averaged.state_dict(),
        "optimisers": {name: each.state_dict() for name, each in task.optimisers.items()},
    }


def _restore(path: Path, task: Task, averaged: AveragedModel) -> tuple[int, float]:
    state = load_pickle_safely(path)
    try:
        for name, network in task.networks.items():
            network.load_state_dict(state["networks"][name])
        averaged.load_state_dict(state["averaged"])
        for name, optimiser in task.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        return int(state["step"]), float(state["best"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit this run: {error}") from error


def train(task: Task, fabric: Fabric, folder: Path, *, progress: Progress) -> bool:
    """Train `task` to its last step, from the state in `folder` if there is one.

    Writes `log.jsonl`, TensorBoard events, `samples/*.png`, `best.safetensors` (by the task's
    score), `last.safetensors` and `state.pt`. `progress(step, values)` is called after each step.

    Returns:
        True when the last step was reached, False when Ctrl-C stopped the run, which then can be
        resumed by the same call.

    Raises:
        DataError: a loss is not finite (before the update), or a file became unreadable.
        CheckpointError: the training state in `folder` is damaged or of another run.
    """
    run = task.run
    averaged = _averaged(task.networks["generator"], run.ema_decay)
    sign = 1 if task.higher_is_better else -1
    step, best = 0, -math.inf
    if (folder / STATE).exists():
        step, best = _restore(folder / STATE, task, averaged)
    sampler = StepSampler(
        first_step=step,
        last_step=run.steps,
        batch_size=task.batch_size,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    loader = DataLoader(
        task.dataset,
        batch_size=task.batch_size,
        sampler=sampler,
        num_workers=task.workers,
        pin_memory=fabric.device.type == "cuda",
        worker_init_fn=_ignore_interrupts,
    )
    batches = iter(fabric.setup_dataloaders(loader, use_distributed_sampler=False))
    log = RunLog(folder, first_step=step) if fabric.is_global_zero else None
    totals: dict[str, Tensor] = {}
    metrics: dict[str, float] = {}
    stopped = False
    try:
        with _interruptible() as stop_requested:
            while step < run.steps and not stopped:
                for name, optimiser in task.optimisers.items():
                    settings = task.schedules[name]
                    for group in optimiser.param_groups:
                        group["lr"] = learning_rate(settings, group["initial_lr"], step, run.steps)
                generator = step_generator(run.seed, step, fabric.global_rank)
                torch.manual_seed(generator.initial_seed())  # dropout draws from the global one
                losses = task.step(next(batches), generator)
                averaged.update_parameters(task.networks["generator"])
                step += 1
                stopped = stop_requested()

                for name, loss in losses.items():
                    totals[name] = totals.get(name, torch.zeros_like(loss)) + loss
                means: dict[str, float] = {}
                if step % run.log_every == 0 or step == run.steps:
                    means = {name: float(sum_) / run.log_every for name, sum_ in totals.items()}
                    totals = {}
                if log is None:
                    continue
                progress(step, means)
                if means:
                    log.write(step, means)
                last = step == run.steps
                if step % run.validate_every == 0 or last:
                    metrics = task.validate(averaged.module)
                    log.write(step, metrics)
                    if sign * metrics[task.score] > best:
                        best = sign * metrics[task.score]
                        _export(folder / BEST, task, averaged, step, metrics)
                if step % run.samples_every == 0 or last:
                    path = folder / "samples" / f"{step:07d}.png"
                    images.write_rgb(path, sheet(task.samples(averaged.module)))
                if step % run.checkpoint_every == 0 or last or stopped:
                    _export(folder / LAST, task, averaged, step, metrics)
                    save_state(folder / STATE, _state(task, averaged, step, best))
    finally:
        if log is not None:
            log.close()
    fabric.barrier()
    return not stopped


def _export(
    path: Path, task: Task, averaged: AveragedModel, step: int, metrics: dict[str, float]
) -> None:
    save_network(path, averaged.module, task.header(step, metrics))
