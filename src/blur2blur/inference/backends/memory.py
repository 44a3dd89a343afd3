"""Tell that memory ran out, whoever says so."""

import torch

# How torch on a CPU, ONNX Runtime, OpenVINO and C++ say it.
_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "could not allocate",
    "bad_alloc",
    "bad allocation",
)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory, of a GPU or of the machine, did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY)
