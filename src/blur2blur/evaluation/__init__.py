"""Two folders compared: scores, and a page to look at."""

from blur2blur.evaluation.compare import (
    CONVERTED,
    INPUT,
    OUTPUT,
    TRUTH,
    Report,
    Row,
    by_name,
    evaluate,
    measure,
    refuse_report_inside,
    write,
)

__all__ = [
    "CONVERTED",
    "INPUT",
    "OUTPUT",
    "TRUTH",
    "Report",
    "Row",
    "by_name",
    "evaluate",
    "measure",
    "refuse_report_inside",
    "write",
]
