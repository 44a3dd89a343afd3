"""Parameter names of published weight files, and ours for the same parameters.

Pure functions on dictionaries of tensors; nothing is read and no network is built. MIMO-UNet files
name their parts by list positions, ours by what they do; PatchGAN files are a flat sequence. NAFNet
files use the names of ours already.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from blur2blur.errors import CheckpointError

# "#" stands for a number, kept in its place
MIMO_UNET: tuple[tuple[str, str], ...] = (
    ("Encoder.#.layers.#.main.0.main.0", "encoders.#.#.conv1"),
    ("Encoder.#.layers.#.main.1.main.0", "encoders.#.#.conv2"),
    ("Decoder.#.layers.#.main.0.main.0", "decoders.#.#.conv1"),
    ("Decoder.#.layers.#.main.1.main.0", "decoders.#.#.conv2"),
    ("feat_extract.0.main.0", "stem"),
    ("feat_extract.1.main.0", "downs.0"),
    ("feat_extract.2.main.0", "downs.1"),
    ("feat_extract.3.main.0", "ups.0"),
    ("feat_extract.4.main.0", "ups.1"),
    ("feat_extract.5.main.0", "head_full"),
    ("Convs.#.main.0", "merges.#"),
    ("ConvsOut.0.main.0", "head_quarter"),
    ("ConvsOut.1.main.0", "head_half"),
    ("AFFs.0.conv.0.main.0", "aff_full.reduce"),
    ("AFFs.0.conv.1.main.0", "aff_full.merge"),
    ("AFFs.1.conv.0.main.0", "aff_half.reduce"),
    ("AFFs.1.conv.1.main.0", "aff_half.merge"),
    ("FAM1.merge.main.0", "fam_quarter.merge"),
    ("FAM2.merge.main.0", "fam_half.merge"),
    ("SCM1.main.#.main.0", "scm_quarter.convs.#"),
    ("SCM1.conv.main.0", "scm_quarter.merge"),
    ("SCM2.main.#.main.0", "scm_half.convs.#"),
    ("SCM2.conv.main.0", "scm_half.merge"),
)

# layers with a normalisation and an activation in between lie three apart
PATCHGAN: tuple[tuple[str, str], ...] = (
    ("model.0", "convs.0"),
    *((f"model.{3 * i - 1}", f"convs.{i}") for i in range(1, 8)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A published weight file in our terms: `build(name, **options).load_state_dict(state)`."""

    name: str
    options: dict[str, Any]
    state: dict[str, Tensor]


def unwrap(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the parameters in a loaded file, without wrapper and `module.` prefix.

    Raises:
        CheckpointError: it holds something else than tensors.
    """
    for wrapper in ("params_ema", "params", "model", "state_dict"):
        if isinstance(content.get(wrapper), Mapping):
            content = cast(Mapping[str, Any], content[wrapper])
            break
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"'{key}' is a {type(value).__name__}; a weight file must map names to tensors"
            )
    return {key.removeprefix("module."): value for key, value in content.items()}


def is_known(content: Mapping[str, Any]) -> bool:
    """Tell whether `import_network` recognises the content of a file."""
    state = unwrap(content)
    return "feat_extract.0.main.0.weight" in state or (
        "intro.weight" in state and "middle_blks.0.sca.1.weight" in state
    )


def import_network(content: Mapping[str, Any]) -> Imported:
    """Recognise a published MIMO-UNet, MIMO-UNet+ or NAFNet by its parameter names and shapes.

    Args:
        content: the loaded file, wrapped and prefixed or not.

    Raises:
        CheckpointError: none of these networks.
    """
    state = unwrap(content)
    if "feat_extract.0.main.0.weight" in state:
        blocks = _count(state, "Encoder.0.layers.")
        return Imported(
            name="mimo_unet_plus" if blocks == 20 else "mimo_unet",
            options={
                "base_channels": len(state["feat_extract.0.main.0.weight"]),
                "blocks": blocks,
                "downsampling": "nearest",
            },
            state=mimo_unet_to_ours(state),
        )
    if "intro.weight" in state and "middle_blks.0.sca.1.weight" in state:
        levels = range(_count(state, "encoders."))
        return Imported(
            name="nafnet",
            options={
                "width": len(state["intro.weight"]),
                "encoder_blocks": [_count(state, f"encoders.{level}.") for level in levels],
                "middle_blocks": _count(state, "middle_blks."),
                "decoder_blocks": [_count(state, f"decoders.{level}.") for level in levels],
            },
            state=state,
        )
    raise CheckpointError(
        f"weights beginning with '{next(iter(state), '')}' are of no known network; "
        "known: MIMO-UNet, MIMO-UNet+, NAFNet"
    )


def mimo_unet_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published MIMO-UNet(+) parameters. Raises CheckpointError for a foreign name."""
    return _rename(unwrap(state), MIMO_UNET, "MIMO-UNet")


def mimo_unet_to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ours of MIMO-UNet(+) as published. Raises CheckpointError for a foreign name."""
    return _rename(state, [(ours, theirs) for theirs, ours in MIMO_UNET], "mimo_unet")


def patchgan_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename parameters of a published PatchGAN. Raises CheckpointError for a foreign name."""
    return _rename(unwrap(state), PATCHGAN, "PatchGAN")


def patchgan_to_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ours of one `PatchGAN` as published. Raises CheckpointError for a foreign name."""
    return _rename(state, [(ours, theirs) for theirs, ours in PATCHGAN], "PatchGAN")


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many different numbers follow `prefix`."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _rename(
    state: Mapping[str, Tensor], pairs: Sequence[tuple[str, str]], network: str
) -> dict[str, Tensor]:
    rules = [
        (re.compile(re.escape(old).replace(r"\#", r"(\d+)") + r"(?=\.(weight|bias)$)"), new)
        for old, new in pairs
    ]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, new in rules:
            match = pattern.match(key)
            if match:
                numbers = iter(match.groups())
                name = re.sub("#", lambda _, numbers=numbers: str(next(numbers)), new)
                renamed[name + key[match.end() :]] = value
                break
        else:
            raise CheckpointError(f"'{key}' is no parameter of a {network}")
    return renamed
