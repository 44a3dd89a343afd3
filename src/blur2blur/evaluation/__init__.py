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
from blur2blur.evaluation.report import SCORES, Score, number

__all__ = [
    "CONVERTED",
    "INPUT",
    "OUTPUT",
    "SCORES",
    "TRUTH",
    "Report",
    "Row",
    "Score",
    "by_name",
    "evaluate",
    "measure",
    "number",
    "refuse_report_inside",
    "write",
]
