"""Many visitors of the page at once: how many are answered, how fast, and the server's memory.

    python benchmarks/app_load.py --visitors 1 10 100

Each visitor is a thread with Gradio's own client and a session of its own, who gives one small
photograph. With --waiting below the number of visitors those beyond it are refused.
"""

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import skimage.data
from gradio_client import Client, handle_file
from PIL import Image, ImageFilter

from machine import describe

_SIDE_PX = 256
_SERVE = """
import sys
from blur2blur.app.limits import Limits
from blur2blur.app.serve import Server
server = Server(limits=Limits(waiting=int(sys.argv[1])))
print(server.url, flush=True)
try:
    server.wait()
finally:
    server.close()
"""


@contextmanager
def served(waiting: int) -> Generator[tuple[str, int]]:
    """Yield the address of a server of its own, and its process."""
    command = [sys.executable, "-W", "ignore", "-c", _SERVE, str(waiting)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip(), server.pid
        server.send_signal(signal.SIGINT)


def peak_mib(process: int) -> float:
    """Return the most memory that a process has had."""
    text = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def visit(url: str, photograph: Path) -> tuple[float, str, bytes]:
    """Return the seconds until the answer, why there was none, and the answer."""
    client = Client(
        url, verbose=False, download_files=tempfile.mkdtemp(), httpx_kwargs={"timeout": None}
    )
    start_s = time.monotonic()
    try:
        made = client.predict(handle_file(photograph), "none", 1.0, api_name="/deblur")
    except Exception as error:  # noqa: BLE001 (whatever a visitor is told)
        return time.monotonic() - start_s, str(error), b""
    return time.monotonic() - start_s, "", Path(made).read_bytes()


def row(visitors: int, waiting: int, photograph: Path) -> tuple[str, set[str]]:
    """Return a row of the table, and what those were told who got no answer."""
    with served(waiting) as (url, process), ThreadPoolExecutor(visitors) as pool:
        visits = list(pool.map(lambda _: visit(url, photograph), range(visitors)))
        peak = peak_mib(process)
    answered = [seconds for seconds, problem, _ in visits if not problem]
    assert len({made for _, problem, made in visits if not problem}) == 1, "answers differ"
    middle = statistics.median(answered)
    slow = sorted(answered)[int(0.95 * (len(answered) - 1))]
    text = f"| {visitors} | {waiting} | {len(answered)} | {middle:.1f} | {slow:.1f} | {peak:.0f} |"
    return text, {problem for _, problem, _ in visits if problem}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--waiting", type=int, default=200, help="Limit of the queue.")
    given = parser.parse_args(arguments)
    print(describe())
    print("| visitors | may wait | answered | s, median | s, 95 % | peak MiB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        photograph = Path(folder) / "photograph.jpg"
        image = Image.fromarray(skimage.data.astronaut()).resize((_SIDE_PX, _SIDE_PX))
        image.filter(ImageFilter.BoxBlur(2)).save(photograph, quality=92)
        for visitors in given.visitors:
            text, problems = row(visitors, given.waiting, photograph)
            print(text, flush=True)
            for problem in problems:
                print(f"refused: {problem}")


if __name__ == "__main__":
    main()
