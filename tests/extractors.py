"""Tiny kernel extractors for tests."""

from pathlib import Path

import torch

from blur2blur import networks
from blur2blur.weights import checkpoints, headers, reference_keys


def write_extractor(path: Path, *, seed: int = 0, vae: bool = False) -> str:
    """Write an untrained kernel extractor that does something, and return its path."""
    torch.manual_seed(seed)
    network = networks.build_any(
        "kernel_wizard", channels=4, feature_blocks=1, levels=2, code_channels=4, code_blocks=1,
        trunk_blocks=1, identity_start=False, vae=vae,
    )  # fmt: skip
    options = network.options.model_dump()
    header = headers.Header(role="kernel", network="kernel_wizard", options=options)
    checkpoints.save_network(path, network, header)
    return str(path)


def kernel_wizard_to_reference(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the parameters of an extractor with five levels as published."""
    blocks = len({key.split(".")[1] for key in state if key.startswith("trunk.")})
    pairs = [(ours, theirs) for theirs, ours in reference_keys._kernel_wizard_pairs(blocks)]
    return reference_keys._rename(state, pairs, "kernel_wizard")
