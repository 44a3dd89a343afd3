"""The documentation is true: its commands run, its tables are the code's, its links lead somewhere.

A page is a story: its commands run in their order, in one folder that holds what the page takes
for granted (`photos/`, `phone/trainA`, trained weights...), with tiny settings added to trainings.
What a command of the page makes is not there before. Its Python runs after its commands.
"""

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
import skimage.data
import torch
import typer.main
from PIL import Image
from typer.testing import CliRunner

import dataset_trees
import made_clips
from blur2blur import networks, settings, tensors
from blur2blur.blur import CameraSettings, load_camera
from blur2blur.cli import main
from blur2blur.inference import Pipeline
from blur2blur.networks.blur_extent import BlurExtentOptions
from blur2blur.networks.coarse_to_fine import CoarseToFineOptions
from blur2blur.networks.mimo_unet import MimoUNetOptions, MimoUNetPlusOptions
from blur2blur.networks.nafnet import NAFNetOptions
from blur2blur.networks.patchgan import PatchGAN, PatchGANOptions
from blur2blur.networks.residual_unet import ResidualUNetOptions
from blur2blur.networks.resnet import ResnetOptions
from blur2blur.networks.unet import UNetOptions
from blur2blur.reference import parser
from blur2blur.settings import Settings
from blur2blur.training.settings import (
    ConverterSettings,
    DeblurrerSettings,
    ExtentSettings,
    KernelSettings,
)
from blur2blur.training.simulation import prepare
from blur2blur.weights import checkpoints, headers, hub, zoo
from blur2blur.weights.reference_keys import mimo_unet_to_reference, patchgan_to_reference
from extractors import kernel_wizard_to_reference

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]
SCENES = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina")
TASKS = {
    "deblurrer": DeblurrerSettings, "converter": ConverterSettings, "kernel": KernelSettings,
    "extent": ExtentSettings,
}  # fmt: skip
MODELS = [CameraSettings, networks.KernelWizardOptions]
MODELS += [
    BlurExtentOptions,
    MimoUNetOptions,
    MimoUNetPlusOptions,
    NAFNetOptions,
    ResidualUNetOptions,
]
MODELS += [CoarseToFineOptions, ResnetOptions, UNetOptions]
TINY_NETWORKS = {
    "mimo_unet": "{base_channels=4, blocks=1}",
    "kernel_wizard": "{channels=4, feature_blocks=1, levels=2, code_channels=4, code_blocks=1, "
    "trunk_blocks=1, vae=true}",
    "blur_extent": "{widths=[4, 8], blocks=0}",
}
NETWORK_OF = {"kernel": "kernel_wizard", "extent": "blur_extent"}  # mimo_unet of the others
TINY = [
    "data.crop_px=64",
    "data.batch_size=2",
    "data.workers=0",
    "data.validation_crops=2",
    "run.device=cpu",
    "run.steps=2",
    "run.precision=32-true",
]
TINY_DISCRIMINATOR = ["discriminator.base_channels=4", "discriminator.layers=2"]


def blocks(page: str, *languages: str) -> list[str]:
    """Return the fenced code blocks of a page in the given languages."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, language, code in fenced if language in languages]


def command_lines(page: str) -> list[list[str]]:
    lines = "\n".join(blocks(page, "bash", "console")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [line for line in words if line]


def is_only_parsed(words: list[str]) -> bool:
    """Tell commands that need the network, serve it, or go on for ever: parsed but not run."""
    elsewhere = ("--watch", "--ray", "push", "hf:", *hub.PUBLISHED)
    return (
        words[:3] == ["blur2blur", "data", "download"]
        or any(name in word for word in words for name in elsewhere)
        or words[:2] == ["blur2blur", "app"]
    )


def made_by(lines: list[list[str]]) -> set[Path]:
    """Return the folders that commands write."""
    run = itertools.filterfalse(is_only_parsed, lines)
    pairs = itertools.chain.from_iterable(map(itertools.pairwise, run))
    return {Path(value) for option, value in pairs if option in ("-o", "--out", "--report")}


def cheap(arguments: list[str]) -> list[str]:
    """Return options that make a command quick without changing what it does."""
    if arguments[0] == "deblur":
        return ["--device", "cpu"]
    if arguments[0] == "train":
        network = NETWORK_OF.get(arguments[1], "mimo_unet")
        chosen = [f"network.name={network}", f"network.options={TINY_NETWORKS[network]}"]
        preset = dict(itertools.pairwise(arguments)).get("--preset", arguments[1])
        values = {} if preset == "extent" else settings.read_preset(preset)
        if values.get("init") == "generic":  # which is not replaced by a tiny one
            chosen = []
        adversarial = values.get("method") == "adversarial"
        overrides = chosen + TINY + (TINY_DISCRIMINATOR if adversarial else [])
        return [word for override in overrides for word in ("--set", override)]
    return []


def tiny_network(role: str, path: Path) -> None:
    name = NETWORK_OF.get(role, "mimo_unet")
    network = networks.build_any(name, **tomllib.loads(f"x = {TINY_NETWORKS[name]}")["x"])
    options = network.options.model_dump()
    header = headers.Header(role=role, network=name, options=options)
    checkpoints.save_network(path, network, header)


def foreign_weights(folder: Path) -> None:
    """Write tiny networks as other projects publish theirs."""
    nafnet = networks.build(
        "nafnet", width=4, encoder_blocks=[1, 1], decoder_blocks=[1, 1], middle_blocks=1
    )
    torch.save({"params": nafnet.state_dict()}, folder / "NAFNet-GoPro.pth")
    mimo = networks.build("mimo_unet", base_channels=4, blocks=1)
    torch.save({"model": mimo_unet_to_reference(mimo.state_dict())}, folder / "MIMO-UNet.pkl")
    torch.save(mimo_unet_to_reference(mimo.state_dict()), folder / "latest_net_G.pth")
    kernel = networks.build_any("kernel_wizard", channels=4, code_channels=4, trunk_blocks=1)
    torch.save(kernel_wizard_to_reference(kernel.state_dict()), folder / "GOPRO_woVAE.pth")
    patchgan = PatchGAN(PatchGANOptions(base_channels=4, norm="instance"))
    torch.save(patchgan_to_reference(patchgan.state_dict()), folder / "latest_net_D.pth")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that pages take for granted."""
    root = tmp_path_factory.mktemp("given")
    for number, name in enumerate(SCENES):
        pixels = torch.from_numpy(getattr(skimage.data, name)()[:260, :264, :3].copy())
        sharp = pixels.permute(2, 0, 1).float() / 255
        blurry = torch.nn.functional.avg_pool2d(sharp[None], 5, 1, 2)[0]
        file = f"IMG_{number:04d}.jpg"
        for copy, turns in ((number, 0), (number + len(SCENES), 2)):
            for folder, image in (("photos", blurry if number % 2 else sharp), ("truth", sharp)):
                turned = torch.rot90(image, turns, (1, 2))
                tensors.write_rgb(root / folder / f"IMG_{copy:04d}.jpg", turned)
        if number < 3:
            tensors.write_rgb(root / "sharp" / file, sharp)
            tensors.write_rgb(root / "trip" / f"trip_{number}.jpg", blurry)
            for side in ("phone/trainA", "phone/trainC", "phone/testA", "pairs/blurry"):
                tensors.write_rgb(root / side / file, blurry)
            for side in ("phone/trainB", "phone/trainD", "phone/testB", "pairs/sharp"):
                tensors.write_rgb(root / side / file, sharp)
    shutil.copy(root / "photos/IMG_0001.jpg", root / "photo.jpg")
    made_clips.make(root / "clip.mp4")
    frames = [Image.new("RGB", (48, 48), colour) for colour in ("red", "green")]
    frames[0].save(root / "waves.gif", save_all=True, append_images=frames[1:])
    for role in TASKS:
        tiny_network(role, root / "runs" / role / "best.safetensors")
    foreign_weights(root)
    dataset_trees.make(root / "datasets/gopro", "gopro")
    dataset_trees.make(root / "datasets", "rsblur")
    return root


@pytest.fixture
def place(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes the folder in which a page's commands run."""
    resolve = zoo.resolve

    def resolve_shipped(name_or_path: str, *, role: str) -> Path:
        shipping = (zoo.DEFAULT_DEBLURRER, "kernel")
        ships = name_or_path in shipping
        path = given / f"runs/{role}/best.safetensors"
        return path if ships else resolve(name_or_path, role=role)

    def make(page: str) -> Path:
        made = made_by(command_lines(page))
        for source in given.rglob("*"):
            path = source.relative_to(given)
            if source.is_file() and not made & {path, *path.parents}:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tmp_path / path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("BLUR2BLUR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(zoo, "resolve", resolve_shipped)
        return tmp_path

    return make


def run_command(words: list[str]) -> None:
    program, *arguments = words
    if is_only_parsed(words):
        check_options(arguments)
    elif program == "blur2blur":
        result = CliRunner().invoke(main.app, [*arguments, *cheap(arguments)])
        assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}{result.exception!r}"
    elif program == "torchrun":
        check_options(words[words.index("blur2blur") + 1 :])
    elif program == "python" and arguments[0] in ("train.py", "test.py"):
        # test_reference_commands.py runs them
        assert parser.parse(Path(arguments[0]).stem, arguments[1:]).notes == []
    elif program == "bash":
        assert (ROOT / arguments[0]).is_file()
    elif program == "python":
        if arguments[0] == "-m":
            arguments = [arguments[1].replace(".", "/"), *arguments[2:]]
        path = ROOT / arguments[0]
        # a package's options are those of the module that it runs
        path = path / "runner.py" if path.is_dir() else path.with_suffix(".py")
        source = path.read_text(encoding="utf-8")
        options = [word for word in arguments[1:] if word.startswith("--") and word != "--help"]
        assert all(f'"{option}"' in source for option in options)
    elif program == "make":
        targets = (ROOT / "Makefile").read_text(encoding="utf-8")
        wanted = [word for word in arguments if "=" not in word]
        assert all(re.search(rf"^{target}:", targets, re.MULTILINE) for target in wanted)
    else:  # setting up Python is left to the reader
        assert program in ("pip", "python3", ".venv/bin/pip", ".venv/bin/python"), words


def check_options(words: list[str]) -> None:
    """Parse a command without running it; an unknown verb or option raises."""
    command = typer.main.get_command(main.app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash", "python")])
def test_commands_and_python_of_a_page_run(page: str, place, monkeypatch):
    monkeypatch.setattr(prepare, "SIMULATED_CROPS", 2)  # of each of 96 cameras
    place(page)
    for words in command_lines(page):
        run_command(words)
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {"__name__": "__main__"})


def test_an_exported_network_runs_as_documented_without_torch(place):
    folder = place("docs/export.md")
    run_command(next(line for line in command_lines("docs/export.md") if line[0] == "blur2blur"))
    (code,) = blocks("docs/export.md", "python")
    code += "import sys\nassert not {'torch', 'blur2blur'} & sys.modules.keys()\n"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=folder)
    photograph = tensors.read_rgb(folder / "photo.jpg")
    pipeline = Pipeline(zoo.DEFAULT_DEBLURRER, None, device="cpu", precision="fp32")
    sharp = tensors.read_rgb(folder / "sharp.png")
    torch.testing.assert_close(sharp, pipeline(photograph), rtol=0, atol=0.51 / 255)


@pytest.mark.parametrize("page", PAGES)
def test_toml_of_a_page_is_accepted(page: str):
    for block in blocks(page, "toml"):
        values = tomllib.loads(block)
        model = TASKS[values["task"]] if "task" in values else CameraSettings
        checked = settings.build(model, values, source=page)
        if not isinstance(checked, CameraSettings):
            networks.build_any(checked.network.name, **checked.network.options)


def test_the_weights_that_ship_are_those_that_are_described():
    described = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert all(entry.sha256 in described for entry in zoo.ENTRIES.values())


def leaves(model: Settings, prefix: str = "") -> dict[str, str]:
    """Return dotted name -> default as the tables write it."""
    found: dict[str, str] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Settings):
            found |= leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = "none" if value is None else json.dumps(value)
    return found


def setting_tables() -> dict[str, dict[str, str]]:
    """Return model name -> setting -> default, of all tables marked `<!-- settings: Model -->`."""
    tables: dict[str, dict[str, str]] = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for names, table in re.findall(r"<!-- settings: (.*?) -->\n\n((?:\|.*\n)+)", text):
            rows = [[cell.strip() for cell in row.split(" | ")] for row in table.splitlines()[2:]]
            for column, name in enumerate(names.split(), start=1):
                tables[name] = {
                    row[0].strip("| `"): row[column].strip("`")
                    for row in rows
                    if row[column] != "—"
                }
    return tables


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_tables_of_settings_are_complete_and_state_the_defaults(model: type[Settings]):
    assert setting_tables()[model.__name__] == leaves(model())


@pytest.mark.parametrize("name", settings.preset_names())
def test_every_preset_loads(name: str):
    checked = settings.load(TASKS[settings.read_preset(name)["task"]], name)
    networks.build_any(checked.network.name, **checked.network.options)
    if not isinstance(checked, ExtentSettings):
        load_camera(checked.known.camera, checked.known.overrides)
    for camera in getattr(getattr(checked, "simulated", None), "cameras", ()):
        load_camera(camera)


def test_presets_and_cameras_in_the_documentation_are_those_that_ship():
    training, data = (
        (ROOT / f"docs/{page}.md").read_text("utf-8") for page in ("training", "data")
    )
    presets = [(name, settings.read_preset(name)["task"]) for name in settings.preset_names()]
    assert sorted(re.findall(r"^\| `([\w-]+)` \| (\w+) \|", training, re.MULTILINE)) == presets
    cameras = [(name, load_camera(name).description) for name in settings.preset_names("cameras")]
    assert sorted(re.findall(r"^\| `([\w-]+)` \| (.*\.) \|$", data, re.MULTILINE)) == cameras


def test_every_network_and_every_weight_that_ships_is_documented():
    models, readme = ((ROOT / page).read_text("utf-8") for page in ("docs/models.md", "README.md"))
    assert all(f"| `{name}` |" in models for name in [*networks.names(), *zoo.ENTRIES])
    assert all(f"| `{name}` |" in readme for name in zoo.ENTRIES)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page} links to {target}"


def test_design_shows_the_layers_and_every_module():
    design = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    assert "\n".join(contract["layers"]) in design
    files = (ROOT / "src/blur2blur").rglob("*.py")
    modules = {path.name for path in files if path.parent.name != "cli"}
    assert sorted(name for name in modules if name not in design) == []
