"""The training loop: one flat narrative for every task.

Randomness is a function of (seed, step, rank); learning rates are a function of the step, and of
the validations where the schedule is "plateau"; so the state of a run is its step, weights,
averaged weights, optimisers, what the validations gave and the losses since the last line of the
log, and a resumed run is the uninterrupted one.
"""

import logging
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import Precision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from blur2blur import tensors
from blur2blur.data.samples.datasets import StepSampler
from blur2blur.errors import Blur2BlurError, CheckpointError, DataError
from blur2blur.networks import Network
from blur2blur.training.run_folder import STATE, RunLog
from blur2blur.training.sections import OptimiserSettings
from blur2blur.training.sheets import sheet
from blur2blur.training.task import Batch, Task
from blur2blur.weights.checkpoints import load_state, save_network, save_state
from blur2blur.weights.headers import Header
from blur2blur.weights.verdict import BEST, LAST

_log = logging.getLogger(__name__)

Progress = Callable[[int, dict[str, float]], None]

# what loading into networks and optimisers raises where names, shapes or kinds differ
_MISFITS = (LookupError, RuntimeError, ValueError, TypeError, AttributeError)
# through it processes hand over batches; small in containers
_SHARED_MEMORY = Path("/dev/shm")
_AMPLE_BYTES = 1 << 30
_BATCHES_OF_A_WORKER = 3  # one in the making, two waiting
_LOCKS_BYTES = 1 << 16
_STEP_FACTOR = 0.1
_PLATEAU_FACTOR = 0.2
_PLATEAU_VALIDATIONS = 5
_PLATEAU_LEAST_GAIN = 0.01  # of the best score
# torchrun passes a Ctrl-C on to processes that had it from the terminal already
_SAME_CTRL_C_SECONDS = 2.0


def learning_rate(
    settings: OptimiserSettings, base: float, step: int, steps: int, *, plateaus: int = 0
) -> float:
    """Return the rate of `step` in a run of `steps`: warm-up, constant part, then the decay.

    It never reaches zero. `plateaus` counts those that the validations have met so far.
    """
    if step < settings.warmup_steps:
        return base * (step + 1) / settings.warmup_steps
    start = max(settings.warmup_steps, round(settings.constant_fraction * steps))
    if settings.schedule == "plateau":
        return base * _PLATEAU_FACTOR**plateaus
    if settings.schedule == "constant" or step < start:
        return base
    if settings.schedule == "step":
        return base * _STEP_FACTOR ** ((step - start) // settings.decay_every)
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
def _interruptible() -> Generator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop after the step; the second one kills.

    A SIGTERM is such a request too; it is raised again when the state is saved.
    """
    requested_at = math.inf
    terminated = False
    previous = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, _frame: object) -> None:
        nonlocal requested_at, terminated
        terminated |= number == signal.SIGTERM
        now = time.monotonic()
        if number == signal.SIGINT and now - requested_at > _SAME_CTRL_C_SECONDS:
            raise KeyboardInterrupt
        requested_at = min(requested_at, now)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    for each in previous:
        signal.signal(each, request)
    try:
        yield lambda: requested_at < math.inf
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
    if terminated:
        signal.raise_signal(signal.SIGTERM)


def _cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _fitting_workers(task: Task) -> int:
    """Return how many processes decode: as asked for, where cores and shared memory suffice."""
    workers = min(task.workers, _cores())  # more than there are cores only wait for each other
    if not workers or not _SHARED_MEMORY.is_dir():
        return workers
    free_bytes = shutil.disk_usage(_SHARED_MEMORY).free
    if free_bytes >= _AMPLE_BYTES:
        return workers
    held = task.dataset[0].values()
    sample_bytes = sum(each.nbytes for each in held if isinstance(each, Tensor))
    worker_bytes = _BATCHES_OF_A_WORKER * task.batch_size * sample_bytes + _LOCKS_BYTES
    fitting = free_bytes // worker_bytes
    if fitting < workers:
        _log.warning(
            "%s has only %d kB free, so that %d processes decode instead of %d; give it more to be "
            "quicker (docker run --shm-size=1g)",
            *(_SHARED_MEMORY, free_bytes // 1024, fitting, workers),
        )
    return min(fitting, workers)


def _ignore_interrupts(_worker: int) -> None:
    # both may go to all processes of a terminal or a job; the main one stops the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential moving average of `network`, quicker while it is young."""

    def average(means: Any, currents: Any, count: Tensor | int) -> None:  # noqa: ANN401 as torch has it
        young = (1 + int(count)) / (10 + int(count))
        get_ema_multi_avg_fn(min(decay, young))(means, currents, count)

    return AveragedModel(network, multi_avg_fn=average).eval()


@dataclass
class _Position:
    """Where a run stands, besides weights and optimisers."""

    step: int = 0
    best: float = -math.inf  # score of the best weights, higher is better
    metrics: dict[str, float] = field(default_factory=dict[str, float])  # of the last validation
    totals: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # of the losses not logged
    counted: int = 0  # steps in them
    plateaus: int = 0
    plateau_best: float = -math.inf  # score that the next plateau is measured from
    stale: int = 0  # validations since then

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            self.totals[name] = self.totals[name] + loss if name in self.totals else loss
        self.counted += 1

    def record(self, score: float) -> None:
        """Note whether a validation's score is a gain; several that are not are a plateau."""
        best = self.plateau_best
        if best == -math.inf or score > best + _PLATEAU_LEAST_GAIN * abs(best):
            self.plateau_best, self.stale = score, 0
            return
        self.stale += 1
        if self.stale == _PLATEAU_VALIDATIONS:
            self.plateaus, self.stale = self.plateaus + 1, 0

    def take_means(self) -> dict[str, float]:
        means = {name: float(total) / self.counted for name, total in self.totals.items()}
        self.totals, self.counted = {}, 0
        return means


def _state(
    task: Task, averaged: AveragedModel, precision: Precision, position: _Position
) -> dict[str, Any]:
    return {
        "position": vars(position),
        "networks": {name: each.bare.state_dict() for name, each in task.trained.items()},
        "averaged": averaged.state_dict(),
        "optimisers": {name: each.optimiser.state_dict() for name, each in task.trained.items()},
        "precision": precision.state_dict(),
    }


def _restore(
    path: Path, task: Task, averaged: AveragedModel, precision: Precision, device: torch.device
) -> _Position:
    try:
        state = load_state(path)
        averaged.load_state_dict(state["averaged"])
        for name, each in task.trained.items():
            each.bare.load_state_dict(state["networks"][name])
            each.optimiser.load_state_dict(state["optimisers"][name])
        precision.load_state_dict(state["precision"])
        position = _Position(**state["position"])
        position.totals = {name: total.to(device) for name, total in position.totals.items()}
        return position
    except (CheckpointError, *_MISFITS) as error:
        raise CheckpointError(
            f"{path} is damaged or of another run; delete it to begin the run anew, or choose "
            "another --out"
        ) from error


def _next_batch(batches: Iterator[Batch]) -> Batch:
    """Return the next batch. Raises what the datasets raise, as one line, and DataError."""
    try:
        return next(batches)
    except Blur2BlurError as error:
        # a worker process hands over its traceback, whose last line is the message
        *traceback, last = str(error).strip().splitlines()
        raise type(error)(last.partition(": ")[2] if traceback else last) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise DataError(
            f"a process that decodes photographs died ({error}); if memory ran out, set "
            "data.workers or data.cache_gb lower"
        ) from error


def _on_any(fabric: Fabric, flag: bool) -> bool:
    """Return whether `flag` is set on any process, so that all stop at the same step."""
    if fabric.world_size == 1:
        return flag
    flags = fabric.all_reduce(torch.tensor(float(flag), device=fabric.device), reduce_op="sum")
    assert isinstance(flags, Tensor)
    return bool(flags)


def train(
    task: Task,
    fabric: Fabric,
    folder: Path,
    *,
    progress: Progress,
    checkpoint_at: Callable[[int], bool] = lambda step: False,
) -> bool:
    """Train `task` to its last step, from the state in `folder` if there is one.

    Writes `log.jsonl`, TensorBoard events, `samples/*.png`, `best.safetensors` (by the task's
    score), `last.safetensors` and `state.pt`. `progress(step, values)` is called after each step,
    before its checkpoint; `checkpoint_at(step)` asks for one besides those of `run`.

    Returns:
        True when the last step was reached, False when Ctrl-C stopped the run, which then can be
        resumed by the same call. A SIGTERM stops it likewise, and then the process.

    Raises:
        DataError: a loss is not finite (before the update), or a decoding process died.
        InputError: a photograph became unreadable, or the disk is full.
        CheckpointError: the training state in `folder` is damaged or of another run.
    """
    run, precision = task.run, fabric.strategy.precision
    averaged = _averaged(task.trained["network"].bare, run.ema_decay)
    sign = 1 if task.higher_is_better else -1
    position = _Position()
    if (folder / STATE).exists():
        position = _restore(folder / STATE, task, averaged, precision, fabric.device)
    step = position.step
    sampler = StepSampler(
        first_step=step,
        last_step=run.steps,
        batch_size=task.batch_size,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    workers = _fitting_workers(task)
    loader = DataLoader(
        task.dataset,
        batch_size=task.batch_size,
        sampler=sampler,
        num_workers=workers,
        pin_memory=fabric.device.type == "cuda",
        worker_init_fn=_ignore_interrupts,
        # forked workers share the cache of decoded photographs; Python 3.14 would copy it to each
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    loader = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    batches = cast("Generator[Batch]", iter(loader))
    log = RunLog(folder, first_step=step, logger=run.logger) if fabric.is_global_zero else None
    stopped = False
    try:
        # closed while signals are only noted: raised where processes are ended, they would be lost
        with _interruptible() as stop_requested, closing(batches):
            if step == 0 and log is not None:
                log.write(0, task.validate(averaged.module))  # what it begins from
            while step < run.steps and not stopped:
                if step % run.validate_every == 0:  # only the first process validates
                    position.plateaus = fabric.broadcast(position.plateaus)
                for each in task.trained.values():
                    for group in each.optimiser.param_groups:
                        group["lr"] = learning_rate(
                            each.settings,
                            group["initial_lr"],
                            step,
                            run.steps,
                            plateaus=position.plateaus,
                        )
                batch = _next_batch(batches)  # the first one draws from the global generator
                rng = step_generator(run.seed, step, fabric.global_rank)
                torch.manual_seed(rng.initial_seed())  # dropout draws from the global one
                losses = task.step(batch, rng)
                averaged.update_parameters(task.trained["network"].bare)
                step += 1
                position.step = step
                stopped = _on_any(fabric, stop_requested())

                if log is None:
                    continue
                position.add(losses)
                last = step == run.steps
                means: dict[str, float] = {}
                if step % run.log_every == 0 or last:
                    means = position.take_means()
                    log.write(step, means)
                progress(step, means)
                if step % run.validate_every == 0 or last:
                    position.metrics = task.validate(averaged.module)
                    log.write(step, position.metrics)
                    score = sign * position.metrics[task.score]
                    position.record(score)
                    if score > position.best:
                        position.best = score
                        _export(folder / BEST, task, averaged, position)
                if step % run.samples_every == 0 or last:
                    path = folder / "samples" / f"{step:07d}.png"
                    tensors.write_rgb(path, sheet(task.samples(averaged.module)))
                due = step % run.checkpoint_every == 0 or checkpoint_at(step)
                if due or last or stopped:
                    _export(folder / LAST, task, averaged, position)
                    save_state(folder / STATE, _state(task, averaged, precision, position))
    finally:
        if log is not None:
            log.close()
    fabric.barrier()
    return step == run.steps


def _export(path: Path, task: Task, averaged: AveragedModel, position: _Position) -> None:
    own, *_ = weights = task.weights(averaged.module)
    for role, network in weights.items():
        assert isinstance(network, Network)
        header = Header(
            role=role,
            network=network.name,
            options=network.options.model_dump(),
            step=position.step,
            metrics=position.metrics,
            settings=task.settings.model_dump(mode="json"),
            version=version("blur2blur"),
        )
        beside = path if role == own else path.with_stem(f"{path.stem}-{role}")
        save_network(beside, network, header)
