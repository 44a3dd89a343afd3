"""Writes the table of settings in docs/training.md anew, from the settings and their docstrings.

    python scripts/settings_tables.py

A test says that the document holds what this writes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from blur2blur.settings import Settings, section_of
from blur2blur.training.settings import (
    AdversarialConverterSettings,
    DeblurrerSettings,
    ExtentSettings,
    KernelSettings,
    SimulatedConverterSettings,
)

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
BEGIN, END = "<!-- settings of trainings -->\n\n", "\n<!-- end of the settings -->"
COLUMNS: dict[str, type[Settings]] = {
    "Deblurrer": DeblurrerSettings,
    "Converter, simulated": SimulatedConverterSettings,
    "Converter, adversarial": AdversarialConverterSettings,
    "Kernel extractor": KernelSettings,
    "Extent estimator": ExtentSettings,
}
ORDER = (
    "task", "method", "init", "converter", "deblurrer", "network", "data", "known", "simulated",
    "discriminator", "loss", "optimiser", "run",
)  # fmt: skip
"""Sections in the order in which a reader meets them."""
NOT_THERE = "—"


def values(settings: Settings, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield dotted name, meaning and default of every value, and of sections that may lack."""
    for name, field in type(settings).model_fields.items():
        dotted, default, section = f"{prefix}{name}", getattr(settings, name), section_of(field)
        if section is None or default is None:
            if field.description is None:
                raise SystemExit(f"{type(settings).__name__}.{name} has no docstring")
            shown = "none" if default is None else json.dumps(default)
            yield dotted, " ".join(field.description.split()), f"`{shown}`"
        if section is not None:
            inner = section() if default is None else default
            yield from values(inner, f"{dotted}.")  # pyright: ignore[reportArgumentType] sections are Settings


def table() -> str:
    """Return the table in Markdown: a row for each setting and meaning, a column for each task."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for column, model in COLUMNS.items():
        for name, meaning, default in values(model()):
            rows.setdefault((name, meaning), {})[column] = default

    def place(row: tuple[str, str]) -> tuple[int, int]:
        names = [name for name, _ in rows]
        return ORDER.index(row[0].partition(".")[0]), names.index(row[0])

    head = ["Setting", *COLUMNS, "Meaning"]
    lines = [head, ["---"] * len(head)]
    for name, meaning in sorted(rows, key=place):
        cells = [rows[name, meaning].get(column, NOT_THERE) for column in COLUMNS]
        lines.append([f"`{name}`", *cells, meaning])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(text: str) -> str:
    """Return the page with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
