"""Two folders compared: scores, and a page to look at."""

from blur2blur.evaluation.compare import (
    INPUT,
    MAX_COMPARISONS,
    OUTPUT,
    TRUTH,
    Report,
    Row,
    evaluate,
    measure,
    refuse_report_inside,
    write,
)

__all__ = [
    "INPUT",
    "MAX_COMPARISONS",
    "OUTPUT",
    "TRUTH",
    "Report",
    "Row",
    "evaluate",
    "measure",
    "refuse_report_inside",
    "write",
]
