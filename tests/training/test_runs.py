"""What every training run promises, asked of every task on tiny networks."""

import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from safetensors.torch import load_file

from blur2blur import settings
from blur2blur.errors import CheckpointError, ConfigError, DataError
from blur2blur.training import converter_simulated, launch, loop, sources
from blur2blur.training.converter_adversarial import AdversarialConverterTask
from blur2blur.training.deblurrer import DeblurrerTask
from blur2blur.training.kernel import KernelTask
from blur2blur.training.settings import (
    ConverterSettings,
    DeblurrerSettings,
    ExtentSettings,
    KernelSettings,
    OptimiserSettings,
)
from blur2blur.training.simulation import converted_pairs, prepare
from blur2blur.weights import zoo
from blur2blur.weights.checkpoints import load_any, read_header

TINY = [
    "network.options.base_channels=4",
    "network.options.blocks=1",
    "data.crop_px=64",
    "data.batch_size=2",
    "data.workers=0",
    "data.validation_crops=2",
    "known.camera=known-small",
    "optimiser.learning_rate=1e-3",
    "run.device=cpu",
    "run.steps=6",
    "run.log_every=1",
    "run.validate_every=3",
    "run.checkpoint_every=2",
    "run.samples_every=3",
    "run.precision=32-true",
]
TINY_DISCRIMINATOR = ["discriminator.base_channels=4", "discriminator.layers=2"]
TINY_KERNEL = [
    "network.options={channels=4, feature_blocks=1, levels=2, code_channels=4, code_blocks=1, "
    "trunk_blocks=1, identity_start=false, vae=true, filter_px=5}",
    "loss.kl=0.001",
]
# a converter that looks at no blurry photograph
TINY_GENERIC = [
    "simulated.cameras=['any-small']",
    "simulated.converted=1",
    "simulated.deblurred=0",
    "data.crop_px=48",  # with what the blur reaches beyond, the photographs are no larger
]
# a deblurrer that learns what a converter makes of simulated cameras
TINY_FINISH = [
    "simulated.cameras=['any-small']",
    "init=known-blur-small",
    "converter=generic-small",
    "data.crop_px=48",
]
TINY_EXTENT = [
    "network.options={widths=[4, 8], blocks=0}",
    "simulated.cameras=['any-small']",
    "data.shrink=1",
    "data.crop_px=24",  # with what the blur reaches beyond, the photographs are no larger
]
TASKS = ["deblurrer", "finish", "converter", "generic", "kernel", "extent"]


def tiny(task: str, *overrides: str):
    if task in ("deblurrer", "finish"):
        more = TINY_FINISH if task == "finish" else []
        return settings.load(DeblurrerSettings, "deblurrer", [*TINY, *more, *overrides])
    if task == "kernel":
        return settings.load(KernelSettings, "kernel", [*TINY, *TINY_KERNEL, *overrides])
    if task == "extent":
        common = [each for each in TINY if not each.startswith(("network.", "known."))]
        return settings.load(ExtentSettings, "blur-extent", [*common, *TINY_EXTENT, *overrides])
    more = TINY_GENERIC if task == "generic" else []
    overrides = ("known.source=synthetic", *TINY, *TINY_DISCRIMINATOR, *more, *overrides)
    return settings.load(ConverterSettings, "converter-pairs", overrides)


def train(task: str, data: Path, out: Path, *overrides: str, progress=lambda step, values: None):
    checked = tiny(task, *overrides)
    if isinstance(checked, DeblurrerSettings):
        return launch.train_deblurrer(data, checked, out, progress)
    if isinstance(checked, KernelSettings):
        return launch.train_kernel(data, checked, out, progress)
    if isinstance(checked, ExtentSettings):
        return launch.train_extent(data, checked, out, progress)
    return launch.train_converter(data, checked, out, progress)


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def same_weights(first: Path, second: Path) -> bool:
    one, other = load_file(first), load_file(second)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def interrupt_after(stop_step: int):
    def progress(step: int, values: dict[str, float]) -> None:
        if step == stop_step:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_run_equals_uninterrupted_bit_for_bit(task, camera_folder, tmp_path):
    assert train(task, camera_folder, tmp_path / "whole")
    # step 3 is between two checkpoints: Ctrl-C itself must save
    assert not train(task, camera_folder, tmp_path / "cut", progress=interrupt_after(3))
    assert train(task, camera_folder, tmp_path / "cut")
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")
    assert same_weights(tmp_path / "whole/best.safetensors", tmp_path / "cut/best.safetensors")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_a_converter_that_is_adapted_is_resumed_too(camera_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "CAMERA_CROPS", 16)
    monkeypatch.setattr(prepare, "SIMULATED_CROPS", 8)
    # beside the generic one: of two simulated cameras that which looks like the camera
    adapted = ["simulated.cameras=['known-small']", "simulated.compared=2", "data.crop_px=64"]
    assert train("generic", camera_folder, tmp_path / "whole", *adapted)
    stop = interrupt_after(3)
    assert not train("generic", camera_folder, tmp_path / "cut", *adapted, progress=stop)
    assert train("generic", camera_folder, tmp_path / "cut", *adapted)
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")


def test_the_deblurrer_is_trained_with_the_converter_and_written_beside_it(camera_folder, tmp_path):
    both = ["simulated.deblurred=1", "simulated.train_deblurrer=true", "deblurrer=known-blur-small"]
    assert train("generic", camera_folder, tmp_path / "whole", *both)
    assert not train("generic", camera_folder, tmp_path / "cut", *both, progress=interrupt_after(3))
    assert train("generic", camera_folder, tmp_path / "cut", *both)
    for name in ("last", "last-deblurrer", "best", "best-deblurrer"):
        file = f"{name}.safetensors"
        assert same_weights(tmp_path / "whole" / file, tmp_path / "cut" / file)
        role = "deblurrer" if "deblurrer" in name else "converter"
        assert read_header(tmp_path / "whole" / file).role == role
    shipped = zoo.resolve("known-blur-small", role="deblurrer")
    assert not same_weights(tmp_path / "whole/last-deblurrer.safetensors", shipped)
    with pytest.raises(ConfigError, match=r"set rehearsal\.deblurred=1"):
        tiny("generic", "simulated.train_deblurrer=true")


def test_dropout_is_resumed_too(camera_folder, tmp_path):
    dropout = ["network.name=mimo_unet_plus", "network.options.dropout=0.5"]
    assert train("deblurrer", camera_folder, tmp_path / "whole", *dropout)
    stop = interrupt_after(3)
    assert not train("deblurrer", camera_folder, tmp_path / "cut", *dropout, progress=stop)
    assert train("deblurrer", camera_folder, tmp_path / "cut", *dropout)
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")


def test_a_run_from_before_a_setting_existed_is_resumed(camera_folder, tmp_path):
    run = tmp_path / "run"
    assert not train("converter", camera_folder, run, progress=interrupt_after(3))
    told = json.loads((run / "settings.json").read_text())
    del told["settings"]["discriminator"]["init"], told["settings"]["known"]["extractor"]
    (run / "settings.json").write_text(json.dumps(told))
    assert train("converter", camera_folder, run)


def test_killed_run_resumes_from_its_checkpoint_and_repeats_the_curve(camera_folder, tmp_path):
    class Killed(Exception):
        pass

    def kill(step: int, values: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    assert train("deblurrer", camera_folder, tmp_path / "whole")
    with pytest.raises(Killed):
        train("deblurrer", camera_folder, tmp_path / "cut", progress=kill)
    assert train("deblurrer", camera_folder, tmp_path / "cut")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_worker_processes_do_not_change_a_run(camera_folder, tmp_path):
    train("converter", camera_folder, tmp_path / "here")
    # of which there are no more than cores, or torch would warn
    train("converter", camera_folder, tmp_path / "workers", "data.workers=99", "data.cache_gb=0")
    assert same_weights(tmp_path / "here/last.safetensors", tmp_path / "workers/last.safetensors")


@pytest.mark.parametrize("task", TASKS)
def test_run_folder_holds_what_the_documentation_names(task, camera_folder, tmp_path):
    train(task, camera_folder, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "settings.json", "log.jsonl", "tensorboard", "samples", "state.pt",
        "best.safetensors", "last.safetensors",
    }  # fmt: skip
    assert [path.name for path in sorted((tmp_path / "run/samples").iterdir())] == [
        "0000003.png", "0000006.png",
    ]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_header_rebuilds_the_network_and_tells_its_settings(task, camera_folder, tmp_path):
    train(task, camera_folder, tmp_path / "run")
    role = {"generic": "converter", "finish": "deblurrer"}.get(task, task)
    network, header = load_any(tmp_path / "run/last.safetensors", role=role)
    image = torch.rand(1, 3, 64, 64)
    inputs = (image, image, lambda mean, _: mean) if task == "kernel" else (image,)
    made = network(*inputs)
    if task == "extent":
        assert made.shape == (1, 2)
    else:
        assert made[0 if task == "kernel" else -1].shape == image.shape
    assert header.step == 6
    model = type(tiny(task))
    assert settings.build(model, header.settings, source="header") == tiny(task)


@pytest.mark.parametrize("task", ["deblurrer", "converter", "kernel"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_pairs_as_known_blur_at_any_batch_size(task, batch_size, camera_folder, tmp_path):
    overrides = ["known.source=pairs", f"data.batch_size={batch_size}", "run.steps=2"]
    assert train(task, camera_folder, tmp_path / "run", *overrides)
    assert all(
        torch.isfinite(torch.tensor(list(line.values()))).all() for line in curve(tmp_path / "run")
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["loss.adversarial=hinge", "loss.penalty=interpolated"],
        ["loss.adversarial=least_squares", "loss.penalty=none", "discriminator.shared=true"],
        ["loss.adversarial=logistic", "loss.penalty=r1+r2", "loss.relativistic=true"],
        ["loss.content=none", "loss.identity_weight=1.0", "discriminator.updates_per_step=2"],
        ["data.curriculum_steps=1", "data.colour_jitter=0.2", "data.shrink=1"],
        ["network.name=nafnet", "network.options={width=4, scales=3, encoder_blocks=[1,1], "
         "decoder_blocks=[1,1], middle_blocks=1}"],
        ["run.precision=bf16-mixed"],
        ["loss.adversarial=wasserstein", "discriminator.layers=0", "optimiser.schedule=plateau"],
        ["network.name=resnet", "network.options={base_channels=4, blocks=1}",
         "optimiser.schedule=step"],
        ["network.name=unet", "network.options={base_channels=4, levels=5}", "data.crop_px=64"],
    ],
)  # fmt: skip
def test_each_choice_of_the_converter_runs(overrides, camera_folder, tmp_path):
    if any(override.startswith("network.name") for override in overrides):
        checked = settings.build(
            ConverterSettings,
            settings.apply_overrides(
                {"run": {"steps": 2}}, [*TINY[2:9], *TINY_DISCRIMINATOR, *overrides]
            ),
            source="test",
        )
        assert launch.train_converter(camera_folder, checked, tmp_path / "run", lambda *_: None)
    else:
        assert train("converter", camera_folder, tmp_path / "run", "run.steps=2", *overrides)


@pytest.mark.parametrize("task", ["deblurrer", "converter", "generic"])
def test_known_blur_differs_from_place_to_place_and_things_move(task, camera_folder, tmp_path):
    # what moves, in photographs of 96 px
    extent = ["extent_px=[1, 5]", "objects.share=1", "spatial.share=1", "still=0"]
    overrides = [
        "known.camera=known", f"known.overrides={json.dumps(extent)}", "run.steps=2",
        "data.places=2", "data.graphics=0.5", "data.shrink=[1, 1.2]",
    ]  # fmt: skip
    assert train(task, camera_folder, tmp_path / "run", *overrides)
    assert all(
        torch.isfinite(torch.tensor(list(line.values()))).all() for line in curve(tmp_path / "run")
    )


def test_deblurrer_learns_one_batch(camera_folder, tmp_path):
    overrides = [
        "run.steps=150", "data.validation_fraction=0.9", "data.crop_px=96", "loss.frequency=0",
        "run.validate_every=150", "run.samples_every=150", "run.checkpoint_every=150",
        "optimiser.learning_rate=3e-3", "optimiser.warmup_steps=10", "known.source=pairs",
        "data.batch_size=1",
    ]  # fmt: skip
    train("deblurrer", camera_folder, tmp_path / "run", *overrides)
    losses = [line["loss/reconstruction"] for line in curve(tmp_path / "run") if len(line) == 2]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_non_finite_loss_stops_before_the_update_and_names_the_files(camera_folder):
    task = make_task("deblurrer", camera_folder)
    before = {name: value.clone() for name, value in task.networks["network"].state_dict().items()}
    batch = next(batches(task))
    batch["known_sharp"] = torch.full_like(batch["known_sharp"], 0).float() * float("nan")
    with pytest.raises(DataError, match=r"'reconstruction' is nan.*trainB.*learning_rate"):
        task.step(batch, torch.Generator())
    after = task.networks["network"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def make_task(task: str, data: Path, *overrides: str):
    fabric = Fabric(accelerator="cpu")
    fabric.launch()
    checked = tiny(task, *overrides)
    if isinstance(checked, DeblurrerSettings):
        return DeblurrerTask(checked, launch.deblurrer_streams(data, checked), fabric)
    if isinstance(checked, KernelSettings):
        return KernelTask(checked, launch.deblurrer_streams(data, checked), fabric)
    return AdversarialConverterTask(checked, launch.converter_streams(data, checked), fabric)


def batches(task):
    return iter(torch.utils.data.DataLoader(task.dataset, batch_size=2, sampler=range(8)))


def test_generator_step_leaves_no_gradient_in_the_discriminator(camera_folder):
    task = make_task("converter", camera_folder)
    task.step(next(batches(task)), torch.Generator())
    judged = {
        name: value.grad.clone() for name, value in task.bare_discriminator.named_parameters()
    }
    fake = task.rng(torch.rand(2, 3, 64, 64))
    losses = task._generator_losses(fake, fake, torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    sum(losses.values()).backward()
    assert all(
        torch.equal(value.grad, judged[name])
        for name, value in task.bare_discriminator.named_parameters()
    )
    assert all(value.requires_grad for value in task.bare_discriminator.parameters())


def test_resuming_with_other_settings_is_refused(camera_folder, tmp_path):
    train("deblurrer", camera_folder, tmp_path / "run", "run.steps=2")
    with pytest.raises(ConfigError, match=r"optimiser.learning_rate = 0.001, not 0.01"):
        train(
            "deblurrer", camera_folder, tmp_path / "run", "run.steps=2",
            "optimiser.learning_rate=0.01",
        )  # fmt: skip


def test_foreign_folder_is_no_run(camera_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/holiday.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        train("deblurrer", camera_folder, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["holiday.txt"]


def test_damaged_state_is_refused(camera_folder, tmp_path):
    train("deblurrer", camera_folder, tmp_path / "run", "run.steps=2")
    (tmp_path / "run/state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match=r"state.pt"):
        train("deblurrer", camera_folder, tmp_path / "run", "run.steps=2")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.crop_px=70", r"multiples of 4.*set data.crop_px=72"),
        ("data.crop_px=128", r"96x96, smaller than the crop of 128 px"),
        ("network.name=mimo", r"unknown network 'mimo'; did you mean 'mimo_unet'\?"),
        ("network.options.block=3", r"unknown setting 'block'; did you mean 'blocks'\?"),
        ("known.camera=knwon", r"unknown camera 'knwon'; did you mean 'known'\?"),
        ("known.camera=roll", r"96x96, smaller than the crop of 64 px and \d\d px of margin"),
        ("data.shrink=[2, 1]", r"shrink = \[2.0, 1.0\]: the first must not be the larger"),
        ("data.shrink=0.5", r"data.shrink.* greater than or equal to 1"),
        ("data.shrink=inf", r"data.shrink.* finite"),
        ("data.shrink=[1.6, 9]", r"smaller after data.shrink = 1.6 than the crop of 64 px"),
        ("data.places=0", r"data.places = 0"),
        ("data.graphics=2", r"data.graphics = 2"),
        ("optimiser.learnin_rate=1", r"did you mean 'optimiser.learning_rate'\?"),
        ("run.steps=0", r"run.steps = 0"),
        ("init=nothing.safetensors", r"no deblurrer 'nothing.safetensors'"),
    ],
)
def test_wrong_settings_are_one_clear_line(override, message, camera_folder, tmp_path):
    with pytest.raises((ConfigError, DataError, CheckpointError), match=message) as caught:
        train("deblurrer", camera_folder, tmp_path / "run", override)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("task", "role"), [("generic", "converter"), ("finish", "deblurrer")])
def test_wrong_weights_are_told_before_cameras_are_compared(
    task: str, role: str, camera_folder, tmp_path, monkeypatch
):
    for module in (converter_simulated, converted_pairs):
        monkeypatch.setattr(module, "prepare", lambda *_, **__: pytest.fail("compared"))
    with pytest.raises(CheckpointError, match=f"no {role} 'nothing.safetensors'"):
        train(task, camera_folder, tmp_path / "run", "init=nothing.safetensors")


def test_init_starts_from_trained_weights(camera_folder, tmp_path):
    train("deblurrer", camera_folder, tmp_path / "first")
    start = tmp_path / "first/last.safetensors"
    train(
        "deblurrer", camera_folder, tmp_path / "second", f"init={start}", "run.steps=1",
        "optimiser.learning_rate=1e-12", "run.ema_decay=0",
    )  # fmt: skip
    first, second = load_file(start), load_file(tmp_path / "second/last.safetensors")
    assert all(torch.allclose(first[key], second[key], atol=1e-9) for key in first)
    assert read_header(tmp_path / "second/last.safetensors").settings["init"] == str(start)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rate_warms_up_decays_and_never_stops(schedule):
    checked = OptimiserSettings(warmup_steps=10, schedule=schedule, constant_fraction=0.5)
    rates = [loop.learning_rate(checked, 1.0, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:50] == [1.0] * 40
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[-1] > 0


def test_step_schedule_falls_to_a_tenth_every_so_many_steps():
    checked = OptimiserSettings(schedule="step", decay_every=10, constant_fraction=0.2)
    rates = [loop.learning_rate(checked, 1.0, step, 100) for step in range(100)]
    assert rates[:20] == [1.0] * 20
    assert rates[20:30] == [1.0] * 10
    assert rates[30:40] == pytest.approx([0.1] * 10)
    assert rates[-1] == pytest.approx(1e-7)


def test_plateau_is_five_validations_without_a_gain_of_one_percent():
    position = loop._Position()
    for score in (-1.0, -0.995, -0.991, -0.9905, -1.2):
        position.record(score)
    assert position.plateaus == 0
    position.record(-0.995)
    assert position.plateaus == 1
    for score in (-0.98, -0.975, -0.975, -0.975, -0.975):  # a gain first: counting begins anew
        position.record(score)
    assert position.plateaus == 1
    checked = OptimiserSettings(schedule="plateau", warmup_steps=2)
    rates = [loop.learning_rate(checked, 1.0, step, 9, plateaus=2) for step in (0, 5, 8)]
    assert rates == pytest.approx([0.5, 0.04, 0.04])


def test_a_run_resumed_on_a_plateau_equals_the_uninterrupted_one(camera_folder, tmp_path):
    # with so low a rate no validation is a gain
    plateau = ["optimiser.schedule=plateau", "run.validate_every=1", "run.steps=9",
               "optimiser.learning_rate=1e-6", "optimiser.warmup_steps=0"]  # fmt: skip
    train("converter", camera_folder, tmp_path / "whole", *plateau)
    stop = interrupt_after(4)
    assert not train("converter", camera_folder, tmp_path / "cut", *plateau, progress=stop)
    assert train("converter", camera_folder, tmp_path / "cut", *plateau)
    assert torch.load(tmp_path / "cut/state.pt")["position"]["plateaus"] == 1
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_random_numbers_differ_between_steps_ranks_and_seeds():
    drawn = {
        float(torch.rand(1, generator=loop.step_generator(seed, step, rank)))
        for seed in range(3)
        for step in range(3)
        for rank in range(3)
    }
    assert len(drawn) == 27


def test_validation_photographs_are_not_trained_on():
    paths = [Path(f"{number}.png") for number in range(10)]
    split = sources.split({"known_sharp": paths}, 0.2)
    assert split.validation["known_sharp"] == paths[8:]
    assert split.train["known_sharp"] == paths[:8]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["discriminator.scales=2"], r"returns 3 scales but discriminator.scales = 2"),
        (["data.crop_px=32"], r"at least 64; set data.crop_px=64"),
        (["discriminator.kind=enrgy"], r"discriminator.kind = 'enrgy'.*'energy'"),
    ],
)
def test_wrong_converter_settings_are_one_clear_line(overrides, message, camera_folder, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        train("converter", camera_folder, tmp_path / "run", *overrides)
    assert "\n" not in str(caught.value)


def train_extractor(data: Path, folder: Path) -> str:
    train("kernel", data, folder, "run.steps=2", "run.validate_every=2")
    return f"known.extractor={folder / 'last.safetensors'}"


@pytest.fixture
def transfer(camera_folder, tmp_path, monkeypatch) -> list[str]:
    """Settings of a known blur that a tiny extractor transfers."""
    monkeypatch.setenv("BLUR2BLUR_CACHE", str(tmp_path / "cache"))
    return ["known.source=transfer", train_extractor(camera_folder, tmp_path / "extractor")]


@pytest.mark.parametrize("task", ["deblurrer", "converter"])
def test_known_blur_is_transferred_and_a_resumed_run_the_same(
    task, transfer, camera_folder, tmp_path
):
    assert train(task, camera_folder, tmp_path / "whole", *transfer)
    stopped = not train(
        task, camera_folder, tmp_path / "cut", *transfer, progress=interrupt_after(3)
    )
    assert stopped
    assert train(task, camera_folder, tmp_path / "cut", *transfer)
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")


def test_the_extractor_is_frozen_and_runs_without_gradients(
    transfer, camera_folder, tmp_path, monkeypatch
):
    checked = tiny("converter", *transfer)
    fabric = Fabric(accelerator="cpu")
    fabric.launch()
    task = AdversarialConverterTask(
        checked, launch.converter_streams(camera_folder, checked), fabric
    )
    extractor = task.known._bank._network
    graphs: list[bool] = []
    adapt = extractor.adapt

    def watched(sharp, code):
        made = adapt(sharp, code)
        graphs.append(made.requires_grad or made.grad_fn is not None)
        return made

    monkeypatch.setattr(extractor, "adapt", watched)
    before = [parameter.clone() for parameter in extractor.parameters()]
    task.step(next(batches(task)), torch.Generator())
    assert graphs == [False]
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert all(parameter.grad is None for parameter in extractor.parameters())
    assert all(torch.equal(*each) for each in zip(before, extractor.parameters(), strict=True))
    trained = {
        id(parameter)
        for optimiser in task.optimisers.values()
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert not trained & {id(parameter) for parameter in extractor.parameters()}


def test_moved_codes_are_laid_where_they_were_not_read(camera_folder):
    def first_loss(share: float) -> float:
        task = make_task("kernel", camera_folder, f"loss.moved_codes={share}")
        losses = task.step(next(batches(task)), torch.Generator().manual_seed(0))
        assert set(losses) == {"loss/reconstruction", "loss/kl"}
        return float(losses["loss/reconstruction"])

    own, moved = first_loss(0.0), first_loss(1.0)
    assert first_loss(0.0) == own
    assert moved != own


def test_kernel_extractor_learns_one_batch(camera_folder, tmp_path):
    overrides = [
        "run.steps=120", "data.validation_fraction=0.9", "data.crop_px=96", "loss.kl=0",
        "network.options={channels=16, feature_blocks=1, levels=2, code_channels=8, "
        "code_blocks=1, trunk_blocks=1}", "data.batch_size=1", "optimiser.warmup_steps=10",
        "run.validate_every=120", "run.samples_every=120", "run.checkpoint_every=120",
    ]  # fmt: skip
    train("kernel", camera_folder, tmp_path / "run", *overrides)
    losses = [line["loss/reconstruction"] for line in curve(tmp_path / "run") if len(line) == 2]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["network.options={levels=2}", "loss.kl=0.1"], r"loss\.kl = 0\.1.*vae=true"),
        (["network.name=mimo_unet", "network.options={}"], "'mimo_unet' reads no blur"),
        (["network.options={levels=5}", "loss.kl=0"], r"crop_px = 64.*at least 256; set.*=256"),
        (["known.source=transfer", "known.extractor=x"], "needs what is trained here"),
        (["known.source=transfer"], r"needs known\.extractor"),
        (["init=missing.pth"], "no kernel extractor 'missing.pth': neither a file"),
    ],
)
def test_wrong_kernel_settings_are_one_clear_line(overrides, message, camera_folder, tmp_path):
    with pytest.raises((ConfigError, CheckpointError), match=message):
        train("kernel", camera_folder, tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()


def test_discriminator_starts_from_a_published_file(camera_folder, tmp_path):
    widths = {0: (3, 4), 2: (4, 8), 5: (8, 16), 8: (16, 1)}
    state = {
        f"model.{index}.weight": torch.rand(wide, narrow, 4, 4)
        for index, (narrow, wide) in widths.items()
    }
    state |= {f"model.{index}.bias": torch.rand(wide) for index, (_, wide) in widths.items()}
    torch.save(state, tmp_path / "latest_net_D.pth")
    checked = tiny("converter", f"discriminator.init={tmp_path / 'latest_net_D.pth'}")
    fabric = Fabric(accelerator="cpu")
    fabric.launch()
    task = AdversarialConverterTask(
        checked, launch.converter_streams(camera_folder, checked), fabric
    )
    assert torch.equal(task.bare_discriminator.parts[0][0].convs[0].weight, state["model.0.weight"])
    assert task.bare_discriminator.options.norm == "instance"
