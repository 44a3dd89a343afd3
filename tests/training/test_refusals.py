"""What a run refuses, before it writes anything."""

import pytest
import torch

from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError, DataError
from blur2blur.training import converter_simulated
from blur2blur.training.simulation import converted_pairs
from blur2blur.weights.checkpoints import save_network
from blur2blur.weights.headers import Header
from tiny_runs import batches, make_task, train


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


def test_an_exported_deblurrer_is_not_looked_through(camera_folder, tmp_path):
    exported = tmp_path / "theirs.onnx"
    exported.touch()
    with pytest.raises(CheckpointError, match=r"theirs\.onnx is an exported.*deblurred=0"):
        train("generic", camera_folder, tmp_path / "run", f"deblurrer={exported}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.content=file"], r"loss.content = 'file'.*'pyramid'"),
        (["discriminator.scales=2"], r"returns 3 scales but discriminator.scales = 2"),
        (["data.crop_px=32"], r"at least 64; set data.crop_px=64"),
        (["discriminator.kind=enrgy"], r"discriminator.kind = 'enrgy'.*'energy'"),
    ],
)
def test_wrong_converter_settings_are_one_clear_line(overrides, message, camera_folder, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        train("converter", camera_folder, tmp_path / "run", *overrides)
    assert "\n" not in str(caught.value)


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


def test_non_finite_loss_stops_before_the_update_and_names_the_files(camera_folder):
    task = make_task("deblurrer", camera_folder)
    before = {
        name: value.clone() for name, value in task.trained["network"].bare.state_dict().items()
    }
    batch = next(batches(task))
    batch["known_sharp"] = torch.full_like(batch["known_sharp"], 0).float() * float("nan")
    with pytest.raises(DataError, match=r"'reconstruction' is nan.*trainB.*learning_rate"):
        task.step(batch, torch.Generator())
    after = task.trained["network"].bare.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("task", "override", "message"),
    [
        ("finish", "network.options.blocks=2",
         r"network\.options\.blocks = 2, but init = 'known-blur' has 4; set network\.opt"),
        ("finish", "network={name='nafnet', options={width=4}}",
         r"network\.name = 'nafnet', but init = 'known-blur' is a coarse_to_fine; set network"),
        ("generic", "init=generic",
         r"network\.options\.base_channels = 4, but init = 'generic' has 16"),
    ],
)  # fmt: skip
def test_a_network_that_is_not_that_of_init_is_refused(
    task, override, message, camera_folder, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        train(task, camera_folder, tmp_path / "run", override)
    assert not (tmp_path / "run").exists()


def test_crops_must_fit_the_deblurrer_that_is_looked_through(camera_folder, tmp_path):
    network = networks.build(
        "nafnet", width=4, encoder_blocks=[1, 1, 1, 1], decoder_blocks=[1, 1, 1, 1]
    )
    header = Header(role="deblurrer", network="nafnet", options=network.options.model_dump())
    save_network(tmp_path / "nafnet.safetensors", network, header)
    chosen = [f"deblurrer={tmp_path / 'nafnet.safetensors'}", "simulated.deblurred=1"]
    with pytest.raises(ConfigError, match=r"data\.crop_px = 52 .*multiples of 16.*crop_px=64"):
        train("generic", camera_folder, tmp_path / "run", *chosen, "data.crop_px=52")
