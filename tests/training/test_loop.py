"""The training loop: what is logged, averaged, saved and stopped, on one process and on two."""

import json
import math
import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lightning.fabric import Fabric
from safetensors.torch import load_file
from torch import nn
from torch._utils import ExceptionWrapper

from blur2blur import settings
from blur2blur.errors import ConfigError, DataError, InputError
from blur2blur.training import launch, loop, sources
from blur2blur.training.sections import OptimiserSettings, RunSettings
from blur2blur.training.settings import ConverterSettings, DeblurrerSettings
from blur2blur.training.task import set_up
from blur2blur.weights.headers import read_header

TINY = [
    "network.options={base_channels=4, blocks=1}",
    "data={crop_px=64, batch_size=2, workers=0, validation_crops=2}",
    "known={source='pairs'}",
    "optimiser={learning_rate=1e-3, warmup_steps=2, clip_norm=1.0}",
    "run={device='cpu', steps=6, log_every=1, validate_every=3, checkpoint_every=2}",
]


def nothing(step: int, values: dict[str, float]) -> None:
    pass


def interrupt_at(stop_step: int, times: int = 1) -> loop.Progress:
    def progress(step: int, values: dict[str, float]) -> None:
        if step == stop_step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    return progress


def deblurrer(data: Path, out: Path, *overrides: str, progress: loop.Progress = nothing) -> bool:
    values = settings.apply_overrides({"network": {}}, [*TINY, *overrides])
    checked = settings.build(DeblurrerSettings, values, source="test")
    return launch.train_deblurrer(data, checked, out, progress)


def converter(data: Path, out: Path, *overrides: str, progress: loop.Progress = nothing) -> bool:
    small = ["discriminator={base_channels=4, layers=2}", "loss.penalty=r1+r2"]
    values = settings.apply_overrides({"network": {}}, [*TINY, *small, *overrides])
    checked = settings.build(ConverterSettings, values, source="test")
    return launch.train_converter(data, checked, out, progress)


TRAIN = {"deblurrer": deblurrer, "converter": converter}


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


class TestLog:
    def test_lines_hold_means_since_the_line_before(self, camera_folder: Path, tmp_path: Path):
        deblurrer(camera_folder, tmp_path / "each")
        deblurrer(camera_folder, tmp_path / "some", "run.log_every=4")
        name = "loss/reconstruction"
        each = [line[name] for line in curve(tmp_path / "each") if name in line]
        some = {line["step"]: line[name] for line in curve(tmp_path / "some") if name in line}
        assert some.keys() == {4, 6}
        assert some[4] == pytest.approx(sum(each[:4]) / 4)
        assert some[6] == pytest.approx(sum(each[4:]) / 2)  # the last line has fewer steps

    def test_an_interruption_between_lines_does_not_change_them(self, camera_folder, tmp_path):
        assert deblurrer(camera_folder, tmp_path / "whole", "run.log_every=4")
        stop = interrupt_at(3)
        assert not deblurrer(camera_folder, tmp_path / "cut", "run.log_every=4", progress=stop)
        assert deblurrer(camera_folder, tmp_path / "cut", "run.log_every=4")
        assert curve(tmp_path / "cut") == curve(tmp_path / "whole")

    def test_the_header_of_a_resumed_run_tells_its_validation(self, camera_folder, tmp_path):
        deblurrer(camera_folder, tmp_path / "run", progress=interrupt_at(3))

        def killed(step: int, values: dict[str, float]) -> None:
            if step == 6:
                raise ArithmeticError

        with pytest.raises(ArithmeticError):
            deblurrer(camera_folder, tmp_path / "run", "run.checkpoint_every=1", progress=killed)
        header = read_header(tmp_path / "run" / "last.safetensors")
        assert header.step == 5
        _at_first, validated = [
            line for line in curve(tmp_path / "run") if "validation/psnr_db" in line
        ]
        assert header.metrics == {k: value for k, value in validated.items() if k != "step"}

    def test_a_finished_run_is_left_as_it_is(self, camera_folder: Path, tmp_path: Path):
        assert deblurrer(camera_folder, tmp_path / "run")
        names = ("log.jsonl", "state.pt", "best.safetensors", "last.safetensors")
        before = [(tmp_path / "run" / name).read_bytes() for name in names]
        called: list[int] = []
        done = deblurrer(
            camera_folder, tmp_path / "run", progress=lambda step, _: called.append(step)
        )
        assert done
        assert called == []
        assert [(tmp_path / "run" / name).read_bytes() for name in names] == before


class TestAverage:
    def test_is_quick_while_young_then_slow(self):
        network = nn.Linear(1, 1, bias=False)
        averaged = loop._averaged(network, 0.5)
        expected = 0.0
        for count in range(20):
            with torch.no_grad():
                network.weight.fill_(float(count))
            averaged.update_parameters(network)
            decay = min(0.5, (1 + count) / (10 + count))
            expected = float(count) if count == 0 else decay * expected + (1 - decay) * count
            assert float(averaged.module.weight.detach()) == pytest.approx(expected)

    def test_is_judged_without_dropout(self):
        """MIMO-UNet+ drops channels in training; its average is what is validated and saved."""
        network = nn.Sequential(nn.Dropout(0.5)).train()
        averaged = loop._averaged(network, 0.9)
        averaged.update_parameters(network)
        assert torch.equal(averaged.module(torch.ones(50)), torch.ones(50))
        assert network.training


class TestStopping:
    def test_one_ctrl_c_that_arrives_twice_saves(self, camera_folder: Path, tmp_path: Path):
        """The terminal and torchrun both send it."""
        stop = interrupt_at(3, times=2)
        assert not deblurrer(camera_folder, tmp_path / "run", progress=stop)
        assert torch.load(tmp_path / "run" / "state.pt")["position"]["step"] == 4

    def test_another_one_later_kills(self, camera_folder, tmp_path, monkeypatch):
        times = iter([0.0, 5.0])
        monkeypatch.setattr(loop.time, "monotonic", lambda: next(times))
        with pytest.raises(KeyboardInterrupt):
            deblurrer(camera_folder, tmp_path / "run", progress=interrupt_at(1, times=2))
        assert not (tmp_path / "run" / "state.pt").exists()

    def test_in_the_last_step_the_run_is_finished(self, camera_folder: Path, tmp_path: Path):
        assert deblurrer(camera_folder, tmp_path / "run", progress=interrupt_at(6))

    def test_the_old_handler_is_back(self, camera_folder: Path, tmp_path: Path):
        before = signal.getsignal(signal.SIGINT)
        deblurrer(camera_folder, tmp_path / "run", "run.steps=1")
        assert signal.getsignal(signal.SIGINT) is before


def raising(error: Exception) -> Iterator[dict[str, object]]:
    """Batches as they come from a worker process that met an error."""
    try:
        raise error
    except type(error):
        wrapped = ExceptionWrapper(where="in DataLoader worker process 3")
    wrapped.reraise()
    yield {}


class TestErrors:
    def test_of_a_worker_process_are_one_line(self):
        with pytest.raises(InputError) as caught:
            loop._next_batch(raising(InputError("a: b.png is empty (zero bytes)")))
        assert str(caught.value) == "a: b.png is empty (zero bytes)"

    def test_of_this_process_stay_as_they_are(self):
        def batches() -> Iterator[dict[str, object]]:
            raise DataError("a: b")
            yield

        with pytest.raises(DataError, match=r"^a: b$"):
            loop._next_batch(batches())

    def test_a_worker_that_died_is_explained(self):
        def batches() -> Iterator[dict[str, object]]:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
            yield

        with pytest.raises(DataError, match=r"pid 7.*set data\.workers or data\.cache_gb lower"):
            loop._next_batch(batches())

    def test_mistakes_of_our_own_are_not_hidden(self):
        def batches() -> Iterator[dict[str, object]]:
            raise RuntimeError("a bug")
            yield

        with pytest.raises(RuntimeError, match="a bug"):
            loop._next_batch(batches())

    def test_too_little_memory(self, camera_folder, tmp_path, monkeypatch):
        def out_of_memory(*_: object, **__: object) -> bool:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        monkeypatch.setattr(loop, "train", out_of_memory)
        with pytest.raises(ConfigError, match=r"data\.crop_px or the network's options lower"):
            deblurrer(camera_folder, tmp_path / "run")

    def test_a_gradient_that_is_not_finite_stops_before_the_update(self):
        """A loss of 0 whose gradient is infinity times zero."""
        fabric = Fabric(accelerator="cpu")
        network = nn.Linear(1, 1)
        trained = set_up(fabric, network, OptimiserSettings(clip_norm=1.0))
        before = network.weight.clone()
        losses = {"odd": (trained.network(torch.ones(1, 1)) * 0).sqrt().sum()}
        with pytest.raises(DataError, match=r"gradient of odd is not finite.*x\.png.*precision"):
            trained.update(losses, ["x.png"])
        assert torch.equal(network.weight, before)


class TestPrecision:
    def test_images_are_not_rounded_on_their_way_into_a_network(self):
        """As in the pipeline: bf16 is as coarse as 1/256, and discriminators would see it."""
        fabric = launch._fabric(RunSettings(device="cpu", precision="bf16-mixed"))
        network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity())
        seen: list[torch.Tensor] = []
        network[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
        inner: list[torch.dtype] = []
        network[1].register_forward_hook(lambda _module, _inputs, out: inner.append(out.dtype))
        wrapped = fabric.setup(network)
        image = torch.rand(1, 3, 8, 8)
        assert wrapped(image).dtype == torch.float32
        assert torch.equal(seen[0], image)
        assert inner == [torch.bfloat16]  # the work itself is done in half precision

    @pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
    def test_each_can_be_resumed(self, camera_folder: Path, tmp_path: Path, precision: str):
        chosen = [f"run.precision={precision}", "run.steps=4"]
        converter(camera_folder, tmp_path / "whole", *chosen)
        converter(camera_folder, tmp_path / "cut", *chosen, progress=interrupt_at(1))
        converter(camera_folder, tmp_path / "cut", *chosen)
        whole, cut = (torch.load(tmp_path / name / "state.pt") for name in ("whole", "cut"))
        for name in ("network", "discriminator"):
            for key, value in whole["networks"][name].items():
                assert torch.equal(value, cut["networks"][name][key])


@hypothesis_settings(max_examples=200, deadline=None, derandomize=True)
@given(count=st.integers(1, 50), fraction=st.floats(0.001, 0.999))
def test_held_out_photographs_are_never_trained_on(count: int, fraction: float):
    paths = [Path(f"{number:03}.png") for number in range(count)]
    split = sources.split({"known_sharp": paths}, fraction)
    train, validation = split.train["known_sharp"], split.validation["known_sharp"]
    assert train
    assert validation
    if count > 1:
        assert [*train, *validation] == paths
        assert abs(len(validation) - count * fraction) <= 1


def _process(rank: int, port: int, train: str, arguments: tuple, stop_at: int, status) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    torch.set_num_threads(1)
    finished = TRAIN[train](*arguments, progress=interrupt_at(stop_at))
    status.put((rank, finished))
    torch.distributed.destroy_process_group()


def on_two_processes(train: str, *arguments: object, stop_at: int = 0) -> list[tuple[int, bool]]:
    """Train as torchrun does; return (rank, finished) of each."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["blur2blur.training.launch"])
    status = context.Queue()
    processes = [
        context.Process(target=_process, args=(rank, port, train, arguments, stop_at, status))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        if process.exitcode is None:
            process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return sorted(status.get(timeout=5) for _ in processes)


def test_two_processes_learn_what_one_does_from_both_batches(camera_folder, tmp_path):
    """Also across an interruption that only the first process hears of."""
    converter(camera_folder, tmp_path / "one", "run.steps=4")
    arguments = (camera_folder, tmp_path / "two", "run.steps=4", "data.batch_size=1")
    stopped = on_two_processes("converter", *arguments, stop_at=2)
    assert stopped == [(0, False), (1, False)]
    assert on_two_processes("converter", *arguments) == [(0, True), (1, True)]
    one, two = (torch.load(tmp_path / name / "state.pt") for name in ("one", "two"))
    assert one["position"]["step"] == two["position"]["step"] == 4
    for name in ("network", "discriminator"):
        for key, value in one["networks"][name].items():
            torch.testing.assert_close(value, two["networks"][name][key], rtol=0, atol=1e-6)
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert math.isclose(
        curve(tmp_path / "one")[-1]["validation/blur_distance"],
        curve(tmp_path / "two")[-1]["validation/blur_distance"],
        rel_tol=1e-3,
    )
