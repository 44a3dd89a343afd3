"""Which device computes: a GPU where there is one, unless the user says otherwise."""

import torch

from blur2blur.errors import ConfigError


def find_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is a GPU where there is one, else the CPU.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"there is no device '{name}' here; use auto or cpu") from error
    return device
