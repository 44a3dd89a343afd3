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
    # A module that is None cannot be imported, and OpenVINO goes on without it. It stays so: parts
    # that are imported later look for it too.
    sys.modules.setdefault(_TELEMETRY, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return import_module("openvino")
