"""Attacks for some minutes, by a seed, and counts: python tests/attack/campaign.py --minutes 3.

Cases are numbered; the same seed and number are the same case. Exits with 1 where one failed.
"""

import argparse
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
MOST_SECONDS = 30.0
MOST_MB = 1500.0
_PLACE_IN_SOURCE = re.compile(r"\.(cpp|cc|hpp|h|py|rs):\d+")
# of ten cases
SHARES = {"picture": 7, "weights": 2, "kill": 1}


class Worker:
    """A process that runs cases; started again when it died or was stopped."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, kind: str, number: int, seed: int) -> dict[str, object]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,  # else a line that was read ahead would be waited for
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {number} {seed}\n".encode())
        answer = {"name": kind, "outcome": "uncaught", "told": "", "seconds": 0.0, "mb": 0.0}
        for seconds in (300.0, 4 * MOST_SECONDS):  # making the case, then running it
            line = self._line(seconds)
            if not line:
                answer["told"] = f"no answer, exit {self.close()}"
                return answer
            answer |= json.loads(line)
        return answer

    def _line(self, seconds: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if ready.select(seconds) else b""

    def close(self) -> int | None:
        """Stop the process and return its exit code."""
        if self._process is None:
            return None
        with self._process as process:  # which closes its pipes, too
            process.kill()
        self._process = None
        return process.returncode


def cases(first: int, only: str | None) -> Iterator[tuple[str, int]]:
    shares = {only: 1} if only else SHARES
    number = dict.fromkeys(shares, first)
    while True:
        for kind, share in shares.items():
            for _ in range(share):
                yield kind, number[kind]
                number[kind] += 1


def problem_of(answer: dict[str, object]) -> str:
    """Return what is wrong with what came of a case; nothing where it was read or refused."""
    if answer["outcome"] == "uncaught":
        return f"uncaught: {answer['told']}"
    if "\n" in str(answer["told"]).strip():
        return f"more than one line: {answer['told']}"
    if _PLACE_IN_SOURCE.search(str(answer["told"])):
        return f"a place in somebody's source: {answer['told']}"
    if float(str(answer["seconds"])) > MOST_SECONDS or float(str(answer["mb"])) > MOST_MB:
        return f"over budget: {answer['seconds']:.1f} s, {answer['mb']:.0f} MB"
    return ""


def run(minutes: float, seed: int, first: int, only: str | None) -> tuple[Counter[str], list[str]]:
    """Return how many cases of each kind were tried, and a line or more for each that failed."""
    import kills

    tried: Counter[str] = Counter()
    failed: list[str] = []
    end = time.monotonic() + 60 * minutes
    worker = Worker()
    with tempfile.TemporaryDirectory() as root:
        for kind, number in cases(first, only):
            if time.monotonic() > end:
                break
            if kind == "kill":
                name, problem, signals = kills.case(number, seed, Path(root))
                tried[f"signals: {name}"] += signals
            else:
                answer = worker.run(kind, number, seed)
                name, problem = str(answer["name"]), problem_of(answer)
            tried[f"{kind}: {name}"] += 1
            if problem:
                failed.append(f"{kind} {number}, seed {seed}: {name}: {problem}")
    worker.close()
    return tried, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", choices=sorted(SHARES))
    chosen = parser.parse_args()
    tried, failed = run(chosen.minutes, chosen.seed, chosen.first, chosen.only)
    for name, count in sorted(tried.items()):
        sys.stdout.write(f"{count:6d}  {name}\n")
    for kind in SHARES:
        of_kind = sum(count for name, count in tried.items() if name.startswith(f"{kind}:"))
        failures = sum(line.startswith(f"{kind} ") for line in failed)
        sys.stdout.write(f"{kind}: tried {of_kind}, failed {failures}\n")
    sys.stdout.write("".join(f"{line}\n" for line in failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
