"""Where the time of a tile goes, and what the machine's limits say it should take at least.

A layer's bound is the larger of its operations over the peak of 3x3 convolutions and its bytes
(input, output, weights, each once) over the memory's rate. Williams et al., Roofline: An Insightful
Visual Performance Model, CACM 2009.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.inference.cases import build, photograph
from torch import Tensor, nn

from blur2blur.inference.backends import torch_networks
from blur2blur.inference.exporting.chain import Chain
from blur2blur.inference.exporting.write import write_openvino
from blur2blur.weights.quiet_openvino import load_openvino

OTHER = "all else (additions, resizing, joining, change of type, 1x1 of the fusions)"
Row = dict[str, str | float | None]


@dataclass(slots=True)
class Layers:
    """What the layers of one kind do on one image."""

    flops: float = 0.0
    bytes_moved: float = 0.0
    seconds: float = 0.0


def measure(
    network: str, precision: str, side_px: int, peaks: Mapping[str, float], repeats: int = 3
) -> list[Row]:
    """Return a row for each kind of layer with torch, and for each operation of OpenVINO."""
    chain = Chain(build(network, "deblurrer")).eval()
    image = photograph(side_px, side_px)[None]
    rows = openvino_rows(chain, precision, image, repeats)
    layers = _torch_layers(chain, precision, image, repeats)
    peak = peaks[f"convolution_{precision}_gflops"] * 1e9
    rate = peaks["memory_gb_per_s"] * 1e9
    total = Layers()
    for kind, each in layers.items():
        rows.append(_row(f"torch {kind}", each, peak, rate))
        total.flops += each.flops
        total.bytes_moved += each.bytes_moved
        total.seconds += each.seconds
    rows.append(_row("torch, sum", total, peak, rate))
    return rows


def _row(kind: str, layers: Layers, peak: float, rate: float) -> Row:
    bound = max(layers.flops / peak, layers.bytes_moved / rate)
    return {
        "what": kind,
        "gflop": layers.flops / 1e9,
        "gigabytes": layers.bytes_moved / 1e9,
        "seconds": layers.seconds,
        "bound_seconds": bound,
        "fraction_of_bound": bound / layers.seconds if layers.seconds and bound else None,
    }


def _torch_layers(
    chain: Chain, precision: str, image: Tensor, repeats: int
) -> dict[str, Layers]:  # fmt: skip
    """Return operations, bytes and seconds (mean of `repeats`) by kind of layer."""
    networks = [("deblurrer", network) for network in chain.networks]
    options = {"device": "cpu", "backend": "eager", "precision": precision}
    restore, pixels = torch_networks.build(networks, **options).restore, image.numpy()
    restore(pixels)
    layers: dict[str, Layers] = defaultdict(Layers)
    started: dict[nn.Module, float] = {}
    width = {"fp32": 4, "bf16": 2}[precision]  # bytes of a value

    def before(layer: nn.Module, _: tuple[Tensor, ...]) -> None:
        started[layer] = time.perf_counter()

    def after(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seconds = time.perf_counter() - started[layer]
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        at = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        operations = 2 * layer.weight.numel() * at[:, :1].numel()
        share = image.shape[-1] // output.shape[-1]
        kind = f"{type(layer).__name__} {layer.kernel_size[0]}x{layer.kernel_size[1]} at 1/{share}"
        each = layers[kind]
        moved = inputs[0].numel() + output.numel() + layer.weight.numel()
        each.flops += operations / repeats
        each.bytes_moved += moved * width / repeats
        each.seconds += seconds / repeats

    for layer in chain.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_pre_hook(before)
            layer.register_forward_hook(after)
    begun = time.perf_counter()
    for _ in range(repeats):
        restore(pixels)
    whole = (time.perf_counter() - begun) / repeats
    layers[OTHER].seconds = whole - sum(each.seconds for each in layers.values())
    return dict(layers)


def openvino_rows(chain: Chain, precision: str, image: Tensor, repeats: int) -> list[Row]:
    """Return seconds by OpenVINO's kind of operation and implementation, most first."""
    run = _profiled(chain, precision)
    run(image)
    seconds: dict[str, float] = defaultdict(float)
    for _ in range(repeats):
        for operation in run(image):
            kind = f"openvino {operation.node_type} {operation.exec_type}"
            seconds[kind] += operation.real_time.total_seconds() / repeats
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    rows: list[Row] = [{"what": kind, "seconds": spent} for kind, spent in ordered if spent > 0]
    return [*rows, {"what": "openvino, sum", "seconds": sum(seconds.values())}]


def _profiled(chain: Chain, precision: str) -> Callable[[Tensor], Any]:
    openvino = load_openvino()

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        write_openvino(chain, path)
        hint = {"fp32": "f32", "bf16": "bf16"}[precision]
        options = {
            "PERF_COUNT": True,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        compiled: Any = openvino.Core().compile_model(path, "CPU", options)
    request = compiled.create_infer_request()

    def run(image: Tensor) -> Any:  # noqa: ANN401 (openvino is not typed)
        request.infer([image.numpy()])
        return request.profiling_info

    return run
