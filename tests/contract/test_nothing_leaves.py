"""No verb but those that fetch or publish asks for the network or leaves an identity behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

import dataset_trees
from blur2blur import networks, tensors
from blur2blur.weights import checkpoints, headers
from conftest import SMALL_CAMERA, crops, make_camera_folder
from extractors import write_extractor
from tiny_runs import TINY, TINY_DISCRIMINATOR, TINY_EXTENT, TINY_KERNEL

# Runs the commands of a file, one after the other, and notes what asks for the network.
MAIN = """
import json, sys
asked = []
verb = None
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        if "AF_UNIX" not in str(arguments[:1]) and not isinstance(arguments[-1], str):
            asked.append([verb, event, str(arguments)])
            raise OSError("no network in this test")
sys.addaudithook(note)
from blur2blur.cli.main import main
codes = {}
for verb in json.load(sys.stdin):
    sys.argv = ["blur2blur", *verb]
    try:
        main()
    except SystemExit as stop:
        codes[" ".join(verb)] = stop.code
json.dump([asked, codes], open(sys.argv[0] + ".json", "w"))
"""


def sets(overrides: list[str]) -> list[str]:
    return [word for each in overrides for word in ("--set", each)]


def place(root: Path) -> None:
    make_camera_folder(root / "data")
    for index, crop in enumerate(crops("chelsea", 2, 64)):
        tensors.write_rgb(root / "sharp" / f"{index}.png", crop)
        blurry = torch.nn.functional.avg_pool2d(crop[None], 3, 1, 1)[0]
        tensors.write_rgb(root / "blurry" / f"{index}.png", blurry)
    dataset_trees.make(root / "gopro", "gopro")
    write_extractor(root / "kernel.safetensors", vae=True)
    network = networks.build("nafnet", width=4, encoder_blocks=[1], decoder_blocks=[1])
    options = network.options.model_dump()
    header = headers.Header(role="deblurrer", network="nafnet", options=options)
    checkpoints.save_network(root / "own.safetensors", network, header)
    torch.save(network.state_dict(), root / "published.pth")


TINY = ["run.steps=1", *(each for each in TINY if "run.steps" not in each)]
COMMON = [each for each in TINY if not each.startswith(("network.", "known."))]
CONVERTER = [*TINY, *TINY_DISCRIMINATOR, "known.source=synthetic"]
PAIRS = ["--preset", "converter-pairs"]
WITH = ["--network", "kernel.safetensors"]
VERBS = [
    ["deblur", "blurry", "-o", "o1"],
    ["deblur", "blurry", "-o", "o2", "--deblurrer", "published.pth", "--backend", "onnxruntime"],
    ["export", "own.safetensors", "-o", "own.xml"],
    ["export", "own.safetensors", "-o", "own.onnx"],
    ["deblur", "blurry", "-o", "o3", "--converter", "none", "--deblurrer", "own.xml"],
    ["deblur", "blurry", "-o", "o4", "--converter", "none", "--deblurrer", "own.onnx"],
    ["evaluate", "o1", "--truth", "sharp", "-o", "report"],
    ["data", "split", "sharp", "-o", "phone", "--ratio", "1:1"],
    ["data", "check", "data", "--crop", "64"],
    ["data", "import", "gopro", "gopro", "-o", "imported"],
    ["data", "filter", "data", "-o", "filtered", "--keep", "0:1"],
    ["blur", "synth", "sharp", "-o", "synth", "--camera", SMALL_CAMERA],
    ["blur", "transfer", "--from", "synth", "--to", "sharp", "-o", "transferred", *WITH],
    ["blur", "sample", "--to", "sharp", "-o", "sampled", *WITH],
    ["models", "import", "published.pth", "-o", "imported.safetensors"],
    ["models", "list"],
    ["models", "show", "known-blur"],
    ["train", "deblurrer", "--data", "data", "-o", "r1", *sets(TINY)],
    ["train", "converter", "--data", "data", "-o", "r2", *PAIRS, *sets(CONVERTER)],
    ["train", "kernel", "--data", "data", "-o", "r3", *sets([*TINY, *TINY_KERNEL])],
    ["train", "extent", "--data", "data", "-o", "r4", *sets([*COMMON, *TINY_EXTENT])],
    ["models", "pack", "r2", "-o", "camera.b2b"],
]
WITH_NETWORK = {"data download", "models get", "models push"}
IN_A_BROWSER = {"app"}  # tests/app counts what its page asks for


def test_every_verb(tmp_path: Path):
    surface = json.loads(Path(__file__).with_name("cli_surface.json").read_text())
    known = {name.removeprefix("blur2blur").strip() for name in surface}
    leaves = {name for name in known if not any(each.startswith(f"{name} ") for each in known)}
    begun = {" ".join(verb[:length]) for verb in VERBS for length in (1, 2)}
    assert leaves - {""} <= begun | WITH_NETWORK | IN_A_BROWSER
    place(tmp_path)
    (tmp_path / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {"HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    result = subprocess.run(
        [sys.executable, "-c", MAIN],
        input=json.dumps(VERBS),
        text=True,
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    asked, codes = json.loads((tmp_path / "blur2blur.json").read_text())
    assert asked == []
    assert {verb: code for verb, code in codes.items() if code} == {}, result.stderr[-3000:]
    left = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    caches = {"blur2blur", "matplotlib"}  # the latter's is a list of fonts
    assert [path for path in left if not caches & set(path.parts)] == []
