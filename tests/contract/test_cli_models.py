"""`blur2blur models import`: what is recognised, refused and told; there and back."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

import extractors
from blur2blur import networks
from blur2blur.cli import main
from blur2blur.networks import Network
from blur2blur.weights import checkpoints, headers, reference_keys


def run(*arguments: object) -> Result:
    texts = ["models", "import", *(str(argument) for argument in arguments)]
    return CliRunner().invoke(main.app, texts)


def kernel_wizard(vae: bool) -> Network:
    return networks.build_any(
        "kernel_wizard", channels=4, feature_blocks=2, code_channels=8, code_blocks=2,
        trunk_blocks=3, vae=vae,
    )  # fmt: skip


def discriminator() -> Network:
    return networks.build_any(
        "discriminator", base_channels=4, norm="instance", shared=True, layers=2
    )


def patchgan_to_reference(state: dict[str, Any]) -> dict[str, Any]:
    prefix = reference_keys.SHARED_PATCHGAN
    return reference_keys.patchgan_to_reference(
        {key.removeprefix(prefix): value for key, value in state.items()}
    )


MIMO = reference_keys.mimo_unet_to_reference
KERNEL = extractors.kernel_wizard_to_reference
PUBLISHED = {
    "latest_net_G.pth": (lambda: networks.build("mimo_unet", base_channels=4, blocks=1), MIMO),
    "MIMO-UNet.pkl": (lambda: networks.build("mimo_unet", base_channels=8, blocks=2), MIMO),
    "MIMO-UNetPlus.pkl": (lambda: networks.build("mimo_unet_plus", base_channels=4), MIMO),
    "NAFNet.pth": (
        lambda: networks.build("nafnet", width=4, encoder_blocks=[1], decoder_blocks=[1]), dict
    ),
    "GOPRO_woVAE.pth": (lambda: kernel_wizard(False), KERNEL),
    "GOPRO_wVAE.pth": (lambda: kernel_wizard(True), KERNEL),
    "7_net_D.pth": (discriminator, patchgan_to_reference),
}  # fmt: skip
STREAMS = {
    "latest_net_G.pth": "converter",
    "GOPRO_woVAE.pth": "kernel",
    "GOPRO_wVAE.pth": "kernel",
    "7_net_D.pth": "discriminator",
}


def publish(name: str, folder: Path) -> tuple[Network, Path]:
    """Write a network as its project does: wrapped, or with the prefix of several devices."""
    torch.manual_seed(0)
    make, rename = PUBLISHED[name]
    network = make()
    state: dict[str, Any] = rename(network.state_dict())
    if name.endswith(".pkl"):
        state = {"model": state}
    elif "_net_" not in name:
        state = {"params": {f"module.{key}": value for key, value in state.items()}}
    torch.save(state, folder / name)
    return network, folder / name


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_come_there_and_back(name: str, tmp_path: Path):
    network, path = publish(name, tmp_path)
    out = tmp_path / "out.safetensors"
    result = run(path, "-o", out)
    assert result.exit_code == 0, result.output
    imported, header = checkpoints.load_any(out)
    assert header.role == STREAMS.get(name, "deblurrer")
    assert header.network == network.name
    assert f"{network.name}, {sum(p.numel() for p in network.parameters()):,}" in result.stdout
    assert str(out) in result.stdout.splitlines()[-1]
    rename = PUBLISHED[name][1]
    theirs, back = rename(network.state_dict()), rename(imported.state_dict())
    assert theirs.keys() == back.keys()
    assert all(torch.equal(theirs[key], back[key]) for key in theirs)


def test_the_role_of_an_image_network_can_be_told(tmp_path: Path):
    _, path = publish("MIMO-UNet.pkl", tmp_path)
    assert run(path, "-o", tmp_path / "out.safetensors", "--role", "converter").exit_code == 0
    assert headers.read_header(tmp_path / "out.safetensors").role == "converter"


class Malice:
    """What pickles may hold: a call that unpickling would make."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def spoiled(kind: str, folder: Path) -> list[object]:
    """Return the arguments of an import that must be refused."""
    _, path = publish("GOPRO_wVAE.pth", folder)
    out = folder / "out.safetensors"
    match kind:
        case "unsafe":
            (folder / "bad.pth").write_bytes(pickle.dumps({"weight": Malice()}))
            return [folder / "bad.pth", "-o", out]
        case "variant":
            # the code of one variant, the rest of the other
            state = reference_keys.unwrap(torch.load(path, weights_only=True))
            other = KERNEL(kernel_wizard(False).state_dict())
            key = "kernel_extractor.model.16.weight"
            torch.save(state | {key: other[key]}, path)
        case "damaged":
            path.write_bytes(path.read_bytes()[:1000])
        case "part" | "state" | "unknown":
            state = reference_keys.unwrap(torch.load(path, weights_only=True))
            part = {key: state[key] for key in state if key.startswith("kernel")}
            position, layer = {"position": {"step": 1}}, {"layer.weight": torch.zeros(1)}
            torch.save({"part": part, "state": position, "unknown": layer}[kind], path)
        case "role":
            return [path, "-o", out, "--role", "deblurrer"]
        case "suffix":
            return [path, "-o", folder / "out.pth"]
        case "there":
            (folder / "there.safetensors").touch()
            return [path, "-o", folder / "there.safetensors"]
        case "ours":
            run(path, "-o", folder / "ours.safetensors")
            return [folder / "ours.safetensors", "-o", out]
        case _:
            return [folder / "missing.pth", "-o", out]
    return [path, "-o", out]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unsafe", "code could run on loading"),
        ("variant", "is almost kernel_wizard, but extractor.downs.4.weight is"),
        ("damaged", "damaged"),
        ("part", "GOPRO_wVAE.pth holds a part of a known network's weights"),
        ("state", "GOPRO_wVAE.pth: 'position' is a dict"),
        ("unknown", "weights beginning with 'layer.weight' are of no known network"),
        ("role", "which can be: kernel"),
        ("suffix", "written as .safetensors"),
        ("there", "exists; choose another name"),
        ("ours", "is a weight file of blur2blur already"),
        ("missing", "no file"),
    ],
)
def test_what_cannot_be_imported_is_one_line_and_writes_nothing(
    kind: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = run(*spoiled(kind, tmp_path))
    assert result.exception is not None
    assert message in str(result.exception)
    assert not (tmp_path / "out.safetensors").exists()
    assert not (tmp_path / "ran").exists()
