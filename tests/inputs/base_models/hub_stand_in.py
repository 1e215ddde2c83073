"""A model hub on this machine: what huggingface_hub asks of the real one, and the ways in which that one can fail."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 1000
"""Bytes from which on a file is told by its sha256, as files in Git LFS are."""


@dataclass
class HubStandIn:
    """`files`: {repository: {path: content}}; every repository has one commit, and the branch main."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken_after: dict[str, int] = field(default_factory=dict)
    flipped: set[str] = field(default_factory=set)
    down: bool = False
    claimed_size: int | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def commit(self, repository: str) -> str:
        return hashlib.sha1(repository.encode()).hexdigest()

    def downloads(self) -> list[str]:
        return [path for method, path, _ in self.asked if method == "GET" and "/resolve/" in path]


def listed(hub: HubStandIn, repository: str) -> dict[str, object]:
    siblings = []
    for name, content in sorted(hub.files[repository].items()):
        size = hub.claimed_size if hub.claimed_size and name.endswith(".safetensors") else len(content)
        row: dict[str, object] = {"rfilename": name, "size": size, "blobId": git_hash(content)}
        if len(content) >= LARGE:
            row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 134}
        siblings.append(row)
    return {"id": repository, "sha": hub.commit(repository), "siblings": siblings, "cardData": {"license": "openrail"}}


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def handler(hub: HubStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.respond(body=False)

        def do_GET(self) -> None:
            self.respond(body=True)

        def respond(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path, self.headers.get("Range")))
            if hub.down:
                return self.refuse(503, None)
            parts = path.strip("/").split("/")
            repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
            if repository not in hub.files:
                return self.refuse(404, "RepoNotFound")
            if repository in hub.gated:
                return self.refuse(403, "GatedRepo")
            revision = parts[5] if parts[0] == "api" and len(parts) > 5 else "main" if parts[0] == "api" else parts[3]
            if revision not in ("main", hub.commit(repository)):
                return self.refuse(404, "RevisionNotFound")
            if parts[0] == "api":
                return self.send(json.dumps(listed(hub, repository)).encode(), {}, body)
            self.file(repository, "/".join(parts[4:]), body)

        def file(self, repository: str, name: str, body: bool) -> None:
            content = hub.files[repository].get(name)
            if content is None:
                return self.refuse(404, "EntryNotFound")
            etag = hashlib.sha256(content).hexdigest() if len(content) >= LARGE else git_hash(content)
            if name in hub.flipped:
                content = bytes([content[0] ^ 1]) + content[1:]
            self.send(content, {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit(repository)}, body, hub.broken_after.get(name))

        def send(self, content: bytes, headers: dict[str, str], body: bool, broken_after: int | None = None) -> None:
            given = self.headers.get("Range")
            first = int(given.removeprefix("bytes=").split("-")[0]) if given else 0
            self.send_response(206 if given else 200)
            self.send_header("Content-Length", str(len(content) - first))
            if given:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if body and broken_after is not None:
                self.wfile.write(content[first : first + broken_after])
                self.close_connection = True
                self.connection.close()
            elif body:
                self.wfile.write(content[first:])

        def refuse(self, status: int, code: str | None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(hub: HubStandIn) -> Iterator[str]:
    """The address of `hub` while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
