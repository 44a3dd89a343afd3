"""OpenVINO without its telemetry, which reports over the network that it was imported."""

import sys
from importlib import import_module
from typing import Any

_TELEMETRY = "openvino_telemetry"


def load_openvino() -> Any:  # noqa: ANN401 (openvino is hardly typed)
    """Return the package `openvino`.

    Raises:
        ImportError: it is not installed.
    """
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:
        return import_module("openvino")
    # a module that is None cannot be imported, and OpenVINO goes on without it
    sys.modules[_TELEMETRY] = None  # pyright: ignore[reportArgumentType]
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
