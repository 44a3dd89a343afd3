"""Downloads go on where they stopped, and what arrives is what the server has, or refused."""

import hashlib
import http.server
import io
import json
import re
import shutil
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from blur2blur.data.published import archives, download
from blur2blur.data.published.table import Archive
from blur2blur.errors import InputError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@dataclass
class Site:
    """What the server on the loopback holds, and how it behaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    breaks_after: list[int] = field(default_factory=list)  # bytes of the next bodies, then whole
    statuses: list[int] = field(default_factory=list)  # of the next answers, then 200 or 206
    ranges: bool = True
    shift: int = 0  # of the parts that are sent
    states_size: bool = True
    stated_sha256: str = ""
    asked: list[str] = field(default_factory=list)  # Range headers
    address: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.send_header("X-Linked-ETag", f'"{site.stated_sha256}"')
            self.end_headers()
            return
        asked = self.headers.get("Range", "")
        site.asked.append(asked)
        body = site.files.get(self.path.lstrip("/"))
        if body is None or site.statuses:
            self.send_error(site.statuses.pop(0) if site.statuses else 404)
            return
        start = 0
        if asked and site.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + site.shift
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if site.states_size:
            self.send_header("Content-Length", str(len(body) - start))
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        end = start + site.breaks_after.pop(0) if site.breaks_after else len(body)
        self.wfile.write(body[start:end])


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    held = Site(files={"data.bin": CONTENT})
    handler = type("OneHandler", (Handler,), {"site": held})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    held.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield held
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(site: Site, folder: Path, path: str = "data.bin") -> Path:
    return download.fetch(f"{site.address}/{path}", folder, lambda _: None)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFetch:
    def test_whole_file_and_its_hash(self, site: Site, tmp_path: Path):
        path = fetch(site, tmp_path / "new")
        assert path.read_bytes() == CONTENT
        assert names(tmp_path / "new") == ["data.bin", "data.bin.sha256"]
        expected = hashlib.sha256(CONTENT).hexdigest()
        assert (tmp_path / "new/data.bin.sha256").read_text() == f"{expected}  data.bin\n"

    def test_broken_connection_goes_on_where_it_stopped(self, site: Site, tmp_path: Path):
        site.breaks_after = [1000, 500_000]
        assert fetch(site, tmp_path).read_bytes() == CONTENT
        assert site.asked == ["", "bytes=1000-", "bytes=501000-"]

    def test_interruption_goes_on_with_the_next_command(self, site: Site, tmp_path: Path):
        def interrupt(_: download.Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            download.fetch(f"{site.address}/data.bin", tmp_path, interrupt)
        assert names(tmp_path) == ["data.bin.part", "data.bin.part.json"]
        part = tmp_path / "data.bin.part"
        part.write_bytes(CONTENT[:7000])
        site.asked.clear()
        assert fetch(site, tmp_path).read_bytes() == CONTENT
        assert site.asked == ["bytes=7000-"]
        assert names(tmp_path) == ["data.bin", "data.bin.sha256"]

    def test_stopped_after_the_last_byte(self, site: Site, tmp_path: Path):
        (tmp_path / "data.bin.part").write_bytes(CONTENT)
        note = {"size": len(CONTENT), "etag": '"one"', "sha256": ""}
        (tmp_path / "data.bin.part.json").write_text(json.dumps(note))
        assert fetch(site, tmp_path).read_bytes() == CONTENT
        assert site.asked == []

    def test_server_that_cannot_resume(self, site: Site, tmp_path: Path):
        site.ranges = False
        site.breaks_after = [1000]
        assert fetch(site, tmp_path).read_bytes() == CONTENT
        assert site.asked == ["", "bytes=1000-"]

    @pytest.mark.parametrize(
        ("etag", "other"), [('"two"', CONTENT[::-1]), ("", CONTENT[::-1] + b"longer")]
    )
    def test_another_version_on_the_server_is_not_mixed_with_the_first(
        self, site: Site, tmp_path: Path, etag: str, other: bytes
    ):
        (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
        note = {"size": len(CONTENT), "etag": '"one"' if etag else "", "sha256": ""}
        (tmp_path / "data.bin.part.json").write_text(json.dumps(note))
        site.files["data.bin"], site.etag = other, etag
        assert fetch(site, tmp_path).read_bytes() == other

    def test_equal_hashes_are_one_file_whatever_the_etag(self, site: Site, tmp_path: Path):
        site.stated_sha256 = hashlib.sha256(CONTENT).hexdigest()
        (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
        note = {"size": len(CONTENT), "etag": '"other"', "sha256": site.stated_sha256}
        (tmp_path / "data.bin.part.json").write_text(json.dumps(note))
        assert fetch(site, tmp_path, "moved/data.bin").read_bytes() == CONTENT
        assert site.asked == ["bytes=1000-"]

    def test_part_without_its_note_is_not_trusted(self, site: Site, tmp_path: Path):
        (tmp_path / "data.bin.part").write_bytes(b"of something else")
        assert fetch(site, tmp_path).read_bytes() == CONTENT
        assert site.asked == [""]

    def test_part_that_is_too_long(self, site: Site, tmp_path: Path):
        (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
        note = {"size": len(CONTENT), "etag": '"one"', "sha256": ""}
        (tmp_path / "data.bin.part.json").write_text(json.dumps(note))
        assert fetch(site, tmp_path).read_bytes() == CONTENT

    def test_server_that_is_busy_for_a_while(self, site: Site, tmp_path: Path):
        site.statuses = [503, 429]
        assert fetch(site, tmp_path).read_bytes() == CONTENT

    def test_server_that_always_breaks_off(self, site: Site, tmp_path: Path):
        site.breaks_after = [1000] + [0] * 20
        with pytest.raises(InputError, match=r"stopped after 1000 bytes.*same command again"):
            fetch(site, tmp_path)
        assert (tmp_path / "data.bin.part").stat().st_size == 1000
        assert len(site.asked) == download.ATTEMPTS

    def test_no_such_file(self, site: Site, tmp_path: Path):
        with pytest.raises(InputError, match="answers 404"):
            fetch(site, tmp_path, "none.bin")
        assert names(tmp_path) == []

    def test_nobody_there(self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(download, "ATTEMPTS", 2)
        with pytest.raises(InputError, match="cannot be reached"):
            download.fetch("http://127.0.0.1:9/data.bin", tmp_path, lambda _: None)

    def test_size_that_is_not_stated(self, site: Site, tmp_path: Path):
        site.states_size = False
        with pytest.raises(InputError, match="does not state a size"):
            fetch(site, tmp_path)

    def test_another_part_than_was_asked_for(self, site: Site, tmp_path: Path):
        site.breaks_after, site.shift = [1000], 1
        with pytest.raises(InputError, match=r"from byte 1000, the server sends 'bytes 1001-"):
            fetch(site, tmp_path)

    def test_hash_that_the_server_states(self, site: Site, tmp_path: Path):
        site.stated_sha256 = hashlib.sha256(CONTENT).hexdigest()
        assert fetch(site, tmp_path, "moved/data.bin").read_bytes() == CONTENT

    def test_tampered_on_the_way(self, site: Site, tmp_path: Path):
        site.stated_sha256 = hashlib.sha256(CONTENT).hexdigest()
        site.files["data.bin"] = b"x" + CONTENT[1:]
        with pytest.raises(InputError, match="arrived damaged and was removed"):
            fetch(site, tmp_path, "moved/data.bin")
        assert names(tmp_path) == []

    def test_file_of_that_name_is_not_overwritten(self, site: Site, tmp_path: Path):
        (tmp_path / "data.bin").write_bytes(b"mine")
        with pytest.raises(InputError, match="no download of ours"):
            fetch(site, tmp_path)
        assert (tmp_path / "data.bin").read_bytes() == b"mine"

    def test_full_disk_is_seen_before_it_is_full(
        self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(InputError, match="are free"):
            fetch(site, tmp_path)

    def test_redirection_to_an_open_connection(self):
        request = download.urllib.request.Request("https://example.org/a")
        with pytest.raises(InputError, match="not encrypted"):
            download._Redirect().redirect_request(
                request, io.BytesIO(), 302, "", None, "http://example.org/a"
            )


class TestIsKept:
    def test_unchanged(self, site: Site, tmp_path: Path):
        path = fetch(site, tmp_path)
        assert download.is_kept(path, lambda _: None)

    def test_missing(self, tmp_path: Path):
        assert not download.is_kept(tmp_path / "data.bin", lambda _: None)

    def test_tampered(self, site: Site, tmp_path: Path):
        path = fetch(site, tmp_path)
        path.write_bytes(b"x" + CONTENT[1:])
        with pytest.raises(InputError, match="has changed since it was downloaded"):
            download.is_kept(path, lambda _: None)


def zip_bytes(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ENTRIES = {"a/": b"", "a/one.png": CONTENT, "a/b/two.png": b"two", "three.txt": b""}


def write_parts(folder: Path, content: bytes, parts: int = 1) -> list[Path]:
    size = -(-len(content) // parts)
    paths = [folder / f"part{number}" for number in range(parts)]
    for number, path in enumerate(paths):
        path.write_bytes(content[number * size : (number + 1) * size])
    return paths


def unpack(paths: list[Path], folder: Path) -> None:
    archives.unpack(paths, folder, lambda _: None)


class TestUnpack:
    @pytest.mark.parametrize("parts", [1, 2, 3, 7])
    def test_in_parts_as_in_one(self, tmp_path: Path, parts: int):
        paths = write_parts(tmp_path, zip_bytes(ENTRIES), parts)
        unpack(paths, tmp_path / "out")
        found = {
            path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
            for path in (tmp_path / "out").rglob("*")
            if path.is_file()
        }
        assert found == {name: data for name, data in ENTRIES.items() if not name.endswith("/")}
        assert archives.unpacked_bytes(paths) == sum(map(len, ENTRIES.values()))

    @pytest.mark.parametrize(
        "name", ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "C:/evil.png", "..\\evil.png"]
    )
    def test_name_that_leads_out(self, tmp_path: Path, name: str):
        paths = write_parts(tmp_path, zip_bytes({"good.png": b"good", name: b"evil"}))
        with pytest.raises(InputError, match="leads out of the folder"):
            unpack(paths, tmp_path / "deep/out")
        assert not list((tmp_path / "deep").iterdir())
        assert not (tmp_path / "evil.png").exists()

    def test_link(self, tmp_path: Path):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            link = zipfile.ZipInfo("link")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        with pytest.raises(InputError, match="is a link"):
            unpack(write_parts(tmp_path, buffer.getvalue()), tmp_path / "out")
        assert names(tmp_path) == ["part0"]

    def test_version_that_does_not_exist(self, tmp_path: Path):
        content = bytearray(zip_bytes({"a.png": b"a"}))
        content[content.index(b"PK\x01\x02") + 6] = 255  # needed to extract
        paths = write_parts(tmp_path, content)
        assert archives.unpacked_bytes(paths) == 0
        with pytest.raises(InputError, match=r"is damaged \(zip file version 25\.5"):
            unpack(paths, tmp_path / "out")

    @pytest.mark.parametrize(
        ("name", "replaced", "message"),
        [
            ("\u00e4.png", b"\xff\xff.png", "the name of an entry is not UTF-8"),
            ("Q", b"\0", "its entry '' has no name"),
            (".", b".", "its entry '.' has no name"),
            ("Q.png", b"a.png", "its entry 'a.png' is there twice"),
            ("./a.png", b"./a.png", "its entry './a.png' is there twice"),
        ],
    )
    def test_name_that_is_none(self, tmp_path: Path, name: str, replaced: bytes, message: str):
        content = zip_bytes({"a.png": b"a", name: b"other"}).replace(name.encode(), replaced)
        paths = write_parts(tmp_path, content)
        assert archives.unpacked_bytes(paths) in (0, 6)
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            unpack(paths, tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert names(tmp_path) == ["part0"]

    @pytest.mark.parametrize("where", [0.3, 0.5, 0.999])
    def test_truncated(self, tmp_path: Path, where: float):
        content = zip_bytes(ENTRIES)
        paths = write_parts(tmp_path, content[: int(len(content) * where)])
        with pytest.raises(InputError, match="is damaged"):
            unpack(paths, tmp_path / "out")
        assert names(tmp_path) == ["part0"]

    def test_tampered(self, tmp_path: Path):
        content = bytearray(zip_bytes(ENTRIES))
        content[200] ^= 0xFF
        with pytest.raises(InputError, match="is damaged"):
            unpack(write_parts(tmp_path, bytes(content)), tmp_path / "out")
        assert names(tmp_path) == ["part0"]

    def test_too_large_for_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(InputError, match="are free"):
            unpack(write_parts(tmp_path, zip_bytes(ENTRIES)), tmp_path / "out")
        assert names(tmp_path) == ["part0"]

    def test_interrupted(self, tmp_path: Path):
        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        paths = write_parts(tmp_path, zip_bytes(ENTRIES))
        with pytest.raises(KeyboardInterrupt):
            archives.unpack(paths, tmp_path / "out", interrupt)
        assert names(tmp_path) == ["part0"]


class TestObtain:
    def archive(self, site: Site) -> Archive:
        content = zip_bytes(ENTRIES)
        site.files = {"Xaa": content[:5000], "Xab": content[5000:]}
        return Archive(folder="X", addresses=(f"{site.address}/Xaa", f"{site.address}/Xab"))

    def obtain(self, archive: Archive, folder: Path) -> bool:
        return download.obtain(archive, folder, lambda _: None)

    def test_downloads_unpacks_and_then_has_it(self, site: Site, tmp_path: Path):
        archive = self.archive(site)
        assert self.obtain(archive, tmp_path)
        assert (tmp_path / "X/a/b/two.png").read_bytes() == b"two"
        assert names(tmp_path) == ["X", "Xaa", "Xaa.sha256", "Xab", "Xab.sha256"]
        site.asked.clear()
        assert not self.obtain(archive, tmp_path)
        assert site.asked == []

    def test_archives_may_be_removed_afterwards(self, site: Site, tmp_path: Path):
        archive = self.archive(site)
        self.obtain(archive, tmp_path)
        (tmp_path / "Xaa").unlink()
        site.asked.clear()
        assert not self.obtain(archive, tmp_path)
        assert site.asked == []

    def test_only_what_is_missing_is_downloaded(self, site: Site, tmp_path: Path):
        archive = self.archive(site)
        download.fetch(archive.addresses[0], tmp_path, lambda _: None)
        site.asked.clear()
        assert self.obtain(archive, tmp_path)
        assert len(site.asked) == 1

    def test_what_is_unpacked_is_not_hashed_again(self, site: Site, tmp_path: Path):
        archive = self.archive(site)
        self.obtain(archive, tmp_path)
        told: list[download.Progress] = []
        assert not download.obtain(archive, tmp_path, told.append)
        assert told == []

    def test_tampered_archive_is_not_unpacked(self, site: Site, tmp_path: Path):
        archive = self.archive(site)
        self.obtain(archive, tmp_path)
        shutil.rmtree(tmp_path / "X")
        (tmp_path / "Xab").write_bytes(b"other")
        with pytest.raises(InputError, match="has changed"):
            self.obtain(archive, tmp_path)
        assert not (tmp_path / "X").exists()
