"""A local Ray of two workers: the same bytes as without, and nothing lost where workers die."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from skimage import data

from blur2blur import Pipeline, networks, tensors
from blur2blur.errors import ConfigError, InputError
from blur2blur.inference import batch, cluster, planning
from blur2blur.inference.planning import Wanted
from blur2blur.weights import checkpoints, headers, tracing
from conftest import crops

ray: Any = pytest.importorskip("ray", reason="extra 'cluster' is not installed")
VERSION = version("blur2blur")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    network = networks.build("resnet", base_channels=4, blocks=1)
    header = headers.Header(
        role="deblurrer", network="resnet", options=network.options.model_dump()
    )
    checkpoints.save_network(root / "tiny.safetensors", network, header)
    tracing.attach_graph(root / "tiny.safetensors")
    for index, crop in enumerate(crops("coffee", 5, 48)):
        tensors.write_rgb(root / f"in/{index % 2}/{index}.png", crop)
    (root / "in/bad.png").write_bytes(b"no image")
    with Pipeline(**options(root)) as pipeline:
        plan = planning.plan([str(root / "in")], root / "alone", Wanted())
        batch.carry_out(plan, pipeline, Wanted(), skip_existing=False, on_progress=lambda *_: None)
    return root


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The end of addresses in an object store on this machine, which has one bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    server._server.app = full_store(server._server.app)
    host, port = server.get_host_and_port()
    yield f"?scheme=http&endpoint_override={host}:{port}&region=us-east-1"
    server.stop()


def full_store(app: Any) -> Any:
    """Return the server's application, where a place named `full` has room for two files."""
    kept: set[str] = set()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        writes = environ["REQUEST_METHOD"] in ("PUT", "POST")
        if writes and path.startswith("/photos/full/") and path.endswith(".png"):
            if path not in kept and len(kept) == 2:
                start_response("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>QuotaExceeded</Code><Message>no room</Message></Error>"]
            kept.add(path)
        return app(environ, start_response)

    return answer


def options(archive: Path) -> dict[str, Any]:
    return {"deblurrer": str(archive / "tiny.safetensors"), "converter": None, "device": "cpu"}


def deblur(archive: Path, *inputs: str, **changes: Any) -> tuple[int, list[str]]:
    arguments: dict[str, Any] = {
        "pipeline": options(archive), "wanted": Wanted(), "address": cluster.LOCAL, "cores": 1,
        "on_progress": lambda done, total: None, **changes,
    }  # fmt: skip
    return cluster.deblur(inputs or [str(archive / "in")], str(archive / "out"), **arguments)


def killing(self: Any, job: dict[str, str]) -> None:
    """In place of `_Worker._do`: 1.png kills every worker, 3.png the first that has it."""
    name, marker = Path(job["source"]).name, Path(job["output"]).parents[2] / "killed"
    if name == "1.png" or (name == "3.png" and not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, job)


original = cluster._Worker._do


@pytest.mark.slow
def test_all_but_what_kills_is_done_and_then_the_rest(
    archive: Path, two_workers: None, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        worker = type("Killing", (cluster._Worker,), {"_do": killing})
        patch.setattr(cluster, "_Worker", worker)
        done, failures = deblur(archive)
    assert done == 4
    assert any("bad.png" in each for each in failures)
    assert any("1.png: its worker died" in each for each in failures)
    out = archive / "out"
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert {path.name for path in made} == {"0.png", "2.png", "3.png", "4.png"}

    done, failures = deblur(archive)
    assert (done, len(failures)) == (5, 1)
    assert {path: path.stat().st_mtime_ns for path in made} == made  # none is made twice

    for path in (archive / "alone").rglob("*.png"):
        assert path.read_bytes() == (out / path.relative_to(archive / "alone")).read_bytes()


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on(archive: Path, tmp_path: Path):
    command = [sys.executable, "-m", "blur2blur", "deblur", str(archive / "in"), "-o", "out",
               "--deblurrer", str(archive / "tiny.safetensors"), "--converter", "none",
               "--device", "cpu", "--ray", "local", "--ray-cores", "1"]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").rglob("?.png")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("?.png")}
    assert made

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1, again.stderr  # bad.png
    assert "bad.png" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in made} == made
    for path in (archive / "alone").rglob("*.png"):
        there = tmp_path / "out" / path.relative_to(archive / "alone")
        assert there.read_bytes() == path.read_bytes()


def test_from_object_store_to_object_store(archive: Path, two_workers: None, bucket: str):
    from pyarrow import fs

    make = f"s3://key:secret@photos{bucket}&allow_bucket_creation=true"
    store, _ = fs.FileSystem.from_uri(make)
    store.create_dir("photos/in")
    fs.copy_files(str(archive / "in"), "photos/in", destination_filesystem=store)
    source, out = (f"s3://key:secret@photos/{name}{bucket}" for name in ("in", "out"))

    done, failures = cluster.deblur(
        [source], out, options(archive), Wanted(),
        address=cluster.LOCAL, cores=1, on_progress=lambda done, total: None,
    )  # fmt: skip
    assert done == 5
    assert ["bad.png" in each and "secret" not in each for each in failures] == [True]
    everything = store.get_file_info(fs.FileSelector("photos/out", recursive=True))
    made = {each.path: each.mtime for each in everything if each.is_file}
    for path in (archive / "alone").rglob("*.png"):
        with store.open_input_stream(f"photos/out/{path.relative_to(archive / 'alone')}") as stream:
            assert stream.read() == path.read_bytes()
    assert len(made) == 5

    # a bucket that is not there takes none: told for each, and nothing else stops
    done, failures = cluster.deblur(
        [source], out.replace("photos/out", "nowhere/out"), options(archive), Wanted(),
        address=cluster.LOCAL, cores=1, on_progress=lambda done, total: None,
    )  # fmt: skip
    assert (done, len(failures)) == (0, 6)
    assert all("secret" not in each and "\n" not in each for each in failures)

    # a store that is full after two: the others are told of, nothing half-written is left
    done, failures = cluster.deblur(
        [source], out.replace("photos/out", "photos/full"), options(archive), Wanted(),
        address=cluster.LOCAL, cores=1, on_progress=lambda done, total: None,
    )  # fmt: skip
    assert (done, len(failures)) == (2, 4)
    assert sum("no room" in each for each in failures) == 3
    everything = store.get_file_info(fs.FileSelector("photos/full", recursive=True))
    assert sum(each.is_file for each in everything) == 2


def test_a_store_that_cannot_be_reached(archive: Path):
    address = "s3://key:secret@photos/in?scheme=http&endpoint_override=127.0.0.1:1&region=r"
    with pytest.raises(InputError, match=r"^s3://photos/in.* cannot be listed: .*connect") as told:
        deblur(archive, address)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("missing", "cannot be listed"),
        ("nowhere://key:secret@bucket/photos", "^nowhere://bucket/photos is no address of a store"),
        ("empty", "no images in"),
    ],
)
def test_inputs_that_are_none(archive: Path, address: str, message: str):
    (archive / "empty").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=message) as told:
        deblur(archive, address if "://" in address else str(archive / address))
    assert "secret" not in str(told.value)


def test_a_sharp_one_under_another_name_is_done_once(archive: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    Image.fromarray(data.coffee()).save(tmp_path / "in/cup.gif")
    (job,) = cluster._plan([str(tmp_path / "in")], str(tmp_path / "out"))
    worker = cluster._Worker(
        options(archive), Wanted(leave_sharp=True), str(tmp_path / "out"), VERSION
    )
    assert worker(job)["error"] == ""
    (made,) = (tmp_path / "out").iterdir()
    assert made.name == "cup.gif"
    before = made.stat().st_mtime_ns
    assert worker(job)["error"] == ""
    assert made.stat().st_mtime_ns == before


def test_a_full_disk_keeps_no_part(archive: Path, tmp_path: Path, monkeypatch: Any):
    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    (job,) = cluster._plan([str(archive / "in/0/0.png")], str(tmp_path / "out"))
    worker = cluster._Worker(options(archive), Wanted(), str(tmp_path / "out"), VERSION)
    store, _ = cluster._store(str(tmp_path))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="the disk is full"):
        cluster._put(store, job["output"], b"1")
    assert list((tmp_path / "out").iterdir()) == []
    assert worker(job)["error"]


def test_a_machine_with_another_version(archive: Path, monkeypatch: pytest.MonkeyPatch):
    worker = cluster._Worker(options(archive), Wanted(), "out", "0.0.1")
    assert "install the same version" in worker({"source": "a.png"})["error"]
    monkeypatch.setattr(cluster, "_results", lambda *_, **__: [worker({"source": "a.png"})])
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    (archive / "in/new.png").touch()
    with pytest.raises(ConfigError, match=r"has blur2blur .*, this one 0\.0\.1"):
        deblur(archive)
    (archive / "in/new.png").unlink()
