"""Every task and choice runs, on tiny networks, and leaves what it should."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.training import launch
from blur2blur.training.settings import (
    AdversarialLossSettings,
    ConverterSettings,
    DeblurrerLossSettings,
    KernelLossSettings,
)
from blur2blur.training.task import images_of
from blur2blur.weights import zoo
from blur2blur.weights.checkpoints import load_any
from blur2blur.weights.headers import read_header
from tiny_runs import (
    TASKS,
    TINY,
    TINY_DISCRIMINATOR,
    batches,
    curve,
    interrupt_after,
    make_task,
    same_weights,
    tiny,
    train,
)


def test_the_deblurrer_is_trained_with_the_converter_and_written_beside_it(camera_folder, tmp_path):
    both = ["simulated.deblurred=1", "simulated.train_deblurrer=true", "deblurrer=known-blur"]
    assert train("generic", camera_folder, tmp_path / "whole", *both)
    assert not train("generic", camera_folder, tmp_path / "cut", *both, progress=interrupt_after(3))
    assert train("generic", camera_folder, tmp_path / "cut", *both)
    for name in ("last", "last-deblurrer", "best", "best-deblurrer"):
        file = f"{name}.safetensors"
        assert same_weights(tmp_path / "whole" / file, tmp_path / "cut" / file)
        role = "deblurrer" if "deblurrer" in name else "converter"
        assert read_header(tmp_path / "whole" / file).role == role
    shipped = zoo.resolve("known-blur", role="deblurrer")
    assert not same_weights(tmp_path / "whole/last-deblurrer.safetensors", shipped)
    with pytest.raises(ConfigError, match=r"set simulated\.deblurred=1"):
        tiny("generic", "simulated.train_deblurrer=true")


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
        ["loss.penalty=r1+r2", "loss.relativistic=true", "discriminator.shared=true"],
        ["loss.adversarial=least_squares", "loss.penalty=none", "discriminator.updates_per_step=2"],
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


def loss_choices() -> Iterator[tuple[str, str]]:
    """Yield (task, override) of every choice and weight of the sections of losses."""
    for task, section in (
        ("deblurrer", DeblurrerLossSettings),
        ("kernel", KernelLossSettings),
        ("converter", AdversarialLossSettings),
    ):
        for name, field in section.model_fields.items():
            for value in get_args(field.annotation) or (1,):
                if "vgg" not in str(value):  # whose weights are downloaded
                    yield task, f"loss.{name}={value}"


@pytest.mark.parametrize(("task", "override"), list(loss_choices()))
def test_each_loss_is_finite(task, override, camera_folder):
    made = make_task(task, camera_folder, override)
    losses = made.step(next(batches(made)), torch.Generator().manual_seed(0))
    assert torch.isfinite(torch.stack(list(losses.values()))).all()


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


def test_the_converters_losses_leave_no_gradient_in_the_discriminator(camera_folder):
    task = make_task("converter", camera_folder)
    batch = next(batches(task))
    task.step(batch, torch.Generator())
    before = {
        name: value.grad.clone() for name, value in task.bare_discriminator.named_parameters()
    }
    losses = task._converter_losses(task._show(images_of(batch), torch.Generator()))
    sum(losses.values()).backward()
    assert all(
        torch.equal(value.grad, before[name])
        for name, value in task.bare_discriminator.named_parameters()
    )
    assert all(value.requires_grad for value in task.bare_discriminator.parameters())


def test_each_update_of_a_discriminator_has_a_batch_of_its_own(camera_folder):
    task = make_task("converter", camera_folder, "discriminator.updates_per_step=3")
    assert task.batch_size == 6
    batch = next(batches(task, 6))
    seen: list[torch.Tensor] = []
    task.trained["network"].network.register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    task.step(batch, torch.Generator())
    assert [len(image) for image in seen] == [2, 2, 2]
    torch.testing.assert_close(torch.cat(seen), images_of(batch)["unknown_blurry"])


def test_without_a_loss_through_it_the_deblurrer_is_not_run_in_a_step(camera_folder):
    task = make_task("generic", camera_folder, "deblurrer=known-blur")
    ran: list[None] = []
    task.deblurrer.register_forward_hook(lambda *_: ran.append(None))
    task.step(next(batches(task)), torch.Generator())
    assert not ran
    task.validate(task.trained["network"].bare)
    assert ran


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
    task = make_task("converter", camera_folder, *transfer)
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
        for each in task.trained.values()
        for group in each.optimiser.param_groups
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


def test_discriminator_starts_from_a_published_file(camera_folder, tmp_path):
    widths = {0: (3, 4), 2: (4, 8), 5: (8, 16), 8: (16, 1)}
    state = {
        f"model.{index}.weight": torch.rand(wide, narrow, 4, 4)
        for index, (narrow, wide) in widths.items()
    }
    state |= {f"model.{index}.bias": torch.rand(wide) for index, (_, wide) in widths.items()}
    torch.save(state, tmp_path / "latest_net_D.pth")
    published = f"discriminator.init={tmp_path / 'latest_net_D.pth'}"
    task = make_task("converter", camera_folder, published)
    assert torch.equal(task.bare_discriminator.parts[0][0].convs[0].weight, state["model.0.weight"])
    assert task.bare_discriminator.options.norm == "instance"
