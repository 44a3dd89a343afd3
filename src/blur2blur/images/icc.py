"""ICC profiles of matrix and curves, as cameras and raw developers embed them (ICC.1:2022).

Pillow's lcms2 converts 8 bits only; these few profiles are formulas, exact at any depth. Profiles
of tables (printers, scanners) are left to it.
"""

import struct
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.floating]
Parameters: TypeAlias = tuple[float, float, float, float, float, float, float]

D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_D50_XYZ = np.array([0.9642, 1.0, 0.8249])
_PRIMARIES = {  # by the code points of ITU-T H.273
    1: SRGB_PRIMARIES,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
# Bradford's cone responses (ICC.1:2022, annex E)
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PARAMETER_COUNTS = (1, 3, 4, 5, 7)
_HEADER_BYTES, _MOST_TAGS = 128, 256


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """From a channel's values in [0, 1] to light in [0, 1]: a formula, or a table that rises.

    The formula is (a x + b)^g + e where x >= d, else c x + f, with parameters g a b c d e f.
    """

    parameters: Parameters | None = None
    table: Array | None = None

    def decode(self, values: Floats) -> Floats:
        """Return the light of values."""
        if self.table is not None:
            return np.interp(values, np.linspace(0, 1, len(self.table)), self.table)
        assert self.parameters is not None
        g, a, b, c, d, e, f = self.parameters
        power = np.maximum(a * values + b, 0) ** g + e
        return np.where(values >= d, power, c * values + f)

    def encode(self, light: Floats) -> Floats:
        """Return the values of light; light outside [0, 1] is clipped."""
        light = np.clip(light, 0, 1)
        if self.table is not None:
            return np.interp(light, self.table, np.linspace(0, 1, len(self.table)))
        assert self.parameters is not None
        g, a, b, c, d, e, f = self.parameters
        knee = max(a * d + b, 0) ** g + e
        power = (np.maximum(light - e, 0) ** (1 / g) - b) / a
        return np.where(light >= knee, power, (light - f) / c if c else 0.0)


def power_curve(exponent: float) -> Curve:
    """Return the curve of a plain exponent."""
    return Curve(parameters=(exponent, 1, 0, 0, 0, 0, 0))


SRGB_CURVE = Curve(parameters=(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0, 0))
_BT709_CURVE = Curve(parameters=(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081, 0, 0))
_CURVES = {  # by the code points of ITU-T H.273; those of HDR (16, 18) are no curves of [0, 1]
    1: _BT709_CURVE,
    4: power_curve(2.2),
    6: _BT709_CURVE,
    8: power_curve(1),
    13: SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}


@dataclass(frozen=True, slots=True, eq=False)
class MatrixProfile:
    """A profile of formulas.

    Attributes:
        curves: one for each channel: three, or one of grey.
        to_xyz: from light of red, green, blue to XYZ at D50, 3 3; None of grey.
    """

    curves: tuple[Curve, ...]
    to_xyz: Array | None


def xyz_of_primaries(primaries: "list[tuple[float, float]]", white: tuple[float, float]) -> Array:
    """Return the matrix from red, green, blue to XYZ at D50, of chromaticities x, y."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = white
    white_xyz = np.array([x / y, 1, (1 - x - y) / y])
    matrix = columns * np.linalg.solve(columns, white_xyz)
    gains = (_CONES @ _D50_XYZ) / (_CONES @ white_xyz)
    return np.linalg.solve(_CONES, gains[:, None] * _CONES) @ matrix


SRGB_TO_XYZ = xyz_of_primaries([*SRGB_PRIMARIES], D65)


def read_profile(profile: bytes) -> MatrixProfile | None:
    """Return the formulas of an RGB or grey profile; None where it has tables, or is damaged."""
    space = profile[16:20]
    try:
        tags = _tags(profile)
        if any(name in tags for name in (b"A2B0", b"A2B1")):
            return None
        if space == b"GRAY":
            return MatrixProfile((_read_curve(tags[b"kTRC"]),), None)
        if space != b"RGB ":
            return None
        curves = tuple(_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        columns = [_read_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (KeyError, ValueError, struct.error):
        return None
    matrix = np.array(columns).T
    return MatrixProfile(curves, matrix) if abs(np.linalg.det(matrix)) > 1e-4 else None


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    tags: dict[bytes, bytes] = {}
    for index in range(min(count, _MOST_TAGS)):
        name, offset, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * index)
        tags[name] = profile[offset : offset + size]
    return tags


def _read_xyz(tag: bytes) -> list[float]:
    return [value / 65536 for value in struct.unpack_from(">3i", tag, 8)]


def _read_curve(tag: bytes) -> Curve:
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return power_curve(1)
        values = np.frombuffer(tag, ">u2", count=count, offset=12)
        if count == 1:
            return _checked(power_curve(int(values[0]) / 256))
        table = np.maximum.accumulate(values / 65535)
        return Curve(table=table)
    if tag[:4] == b"para":
        (form,) = struct.unpack_from(">H", tag, 8)
        if form >= len(_PARAMETER_COUNTS):
            raise ValueError(f"no parametric curve of type {form}")
        p = [value / 65536 for value in struct.unpack_from(f">{_PARAMETER_COUNTS[form]}i", tag, 12)]
        return _checked(Curve(parameters=_parameters(form, p)))
    raise ValueError("a curve of an unknown type")


def _parameters(form: int, p: list[float]) -> Parameters:
    """Return the parameters of the most general form, of any of the five (ICC.1, table 68)."""
    if form == 0:
        return p[0], 1, 0, 0, 0, 0, 0
    g, a, b = p[:3]
    if form in (1, 2):
        constant = p[3] if form == 2 else 0.0
        return g, a, b, 0, -b / a if a else 0, constant, constant
    c, d = p[3:5]
    return (g, a, b, c, d, 0, 0) if form == 3 else (g, a, b, c, d, p[5], p[6])


def _checked(curve: Curve) -> Curve:
    """Return a curve that rises from black to white. Raises ValueError for another."""
    light = curve.decode(np.linspace(0, 1, 65))
    assert curve.parameters is not None
    g, a, *_ = curve.parameters
    if g <= 0 or a <= 0 or not np.isfinite(light).all() or (np.diff(light) < -1e-4).any():
        raise ValueError("a curve that does not rise")
    return curve


def profile_of_code_points(primaries: int, transfer: int) -> bytes | None:
    """Return a profile of code points of ITU-T H.273; None for sRGB, HDR and unknown ones."""
    if primaries not in _PRIMARIES or transfer not in _CURVES or (primaries, transfer) == (1, 13):
        return None
    return matrix_profile([*_PRIMARIES[primaries]], D65, _CURVES[transfer])


def matrix_profile(
    primaries: "list[tuple[float, float]]", white: tuple[float, float], curve: Curve
) -> bytes | None:
    """Return an RGB profile (version 4) of chromaticities x, y and one curve; None of impossible.

    The curve is given by a formula.
    """
    if min(y for _, y in [*primaries, white]) <= 0:
        return None
    try:
        matrix = xyz_of_primaries(primaries, white)
    except np.linalg.LinAlgError:
        return None
    assert curve.parameters is not None
    numbers = [float(each) for each in (*matrix.ravel(), *curve.parameters)]
    if not np.isfinite(numbers).all() or max(map(abs, numbers)) >= 32768:
        return None
    description = "RGB of chromaticities".encode("utf-16-be")
    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(description), 28)
    tags = {b"desc": text + description, b"cprt": text + description, b"wtpt": _xyz(_D50_XYZ)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True):
        tags[name] = _xyz(column)
    formula = b"para" + bytes(4) + struct.pack(">HH", 4, 0) + _fixed(curve.parameters)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), formula)
    return _assembled(tags)


def _fixed(values: "tuple[float, ...] | Array") -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _xyz(values: Array) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    body_at = _HEADER_BYTES + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, body_at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI", body_at + len(body), b"", 0x04400000) + b"mntrRGB XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + _fixed(_D50_XYZ)
    return header.ljust(_HEADER_BYTES, b"\x00") + table + body
