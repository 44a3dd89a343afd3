"""A hub on the loopback: what huggingface_hub asks of the real one, in memory."""

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

COMMIT = "0" * 39 + "1"


@dataclass
class Hub:
    """What it holds, how it behaves, and what was asked of it."""

    files: dict[str, bytes] = field(default_factory=dict)  # "owner/name/file"
    refuses: tuple[int, str] | None = None  # status and error code of every answer
    breaks_after: list[int] = field(default_factory=list)  # bytes of the next bodies, then whole
    lies: int = 0  # bytes that a body and its stated length lack of the size that was told
    token: str = ""  # that writing needs
    asked: list[str] = field(default_factory=list)
    address: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            end = self.hub.breaks_after.pop(0) if self.hub.breaks_after else len(body)
            self.wfile.write(body[:end])

    def json(self, content: object) -> None:
        self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def do_HEAD(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        if self.hub.refuses:
            self.answer(self.hub.refuses[0], X_Error_Code=self.hub.refuses[1])
            return
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
        body = self.hub.files.get(f"{match[1]}/{match[2]}") if match else None
        if body is None:
            known = match and any(name.startswith(f"{match[1]}/") for name in self.hub.files)
            self.answer(404, X_Error_Code="EntryNotFound" if known else "RepoNotFound")
            return
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        if self.command == "HEAD":
            self.answer(200, body, **headers)
            return
        body = body[: len(body) - self.hub.lies]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start:
            headers["Content-Range"] = f"bytes {start[1]}-{len(body) - 1}/{len(body)}"
        self.answer(206 if start else 200, body[int(start[1]) if start else 0 :], **headers)

    do_GET = do_HEAD

    def do_POST(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.answer(401)
        elif self.path == "/api/repos/create":
            name = json.loads(content)
            self.json({"url": f"{self.hub.address}/{name['organization']}/{name['name']}"})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(content)["files"]]
            told = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self.json({"files": [{"path": path, **told} for path in paths]})
        elif "/commit/" in self.path:
            repository = re.fullmatch(r"/api/models/(.+)/commit/.*", self.path)[1]
            for line in content.splitlines():
                step = json.loads(line)
                if step["key"] == "file":
                    name = f"{repository}/{step['value']['path']}"
                    self.hub.files[name] = base64.b64decode(step["value"]["content"])
            self.json(
                {
                    "commitOid": COMMIT,
                    "commitUrl": f"{self.hub.address}/{repository}/commit/{COMMIT}",
                }
            )
        else:  # the check of a card's metadata
            self.json({"errors": [], "warnings": []})


@contextmanager
def serving(cache: Path) -> Iterator[Hub]:
    """Yield a hub that huggingface_hub takes for the real one, with an empty cache."""
    from huggingface_hub import constants

    hub = Hub()
    handler = type("OneHandler", (Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr("time.sleep", lambda _: None)  # between attempts
        yield hub
    server.shutdown()
    server.server_close()
    thread.join()
