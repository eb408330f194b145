"""A hub of models on a free loopback port, as the Hugging Face hub answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from served import Served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

LARGE = 10_000
"""Bytes from which on a file is kept apart and has its SHA-256 for a name, as on the hub."""
COMMIT = "c0ffee" * 6 + "beef"


@dataclass(frozen=True)
class Asked:
    """A request as it came. `host` is the one it was meant for."""

    method: str
    path: str
    host: str
    token: str | None
    range: str | None


@dataclass
class Repo:
    """Files by name. `status` is an error to answer with, `code` what the hub calls it.

    `cuts` are the bytes after which the next downloads of large files break off; with `ranges`
    false these begin anew. Where the files are `gated`, only the listing may be read. `sizes` are
    told instead of the true ones, and `damaged` is sent instead of what is listed.
    """

    files: Mapping[str, bytes]
    status: int = 200
    code: str = ""
    gated: bool = False
    commit: str = COMMIT
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    damaged: bytes = b""
    sizes: Mapping[str, int] = field(default_factory=dict)


class HubServer(Served):
    """Serves `repos`, large files from another host, and keeps what was `asked`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.asked: list[Asked] = []

    def downloads(self, name: str) -> list[Asked]:
        """The requests for the bytes of a large file."""
        return [a for a in self.asked if "/stored/" in a.path and a.path.endswith(name)]

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/models/{repo:path}", self._info),
                Route("/stored/{org}/{name}/{file:path}", self._stored),
                Route("/{org}/{name}/resolve/{revision}/{file:path}", self._resolve),
            ]
        )

    def _note(self, request: Request) -> None:
        head = request.headers
        self.asked.append(
            Asked(
                request.method,
                request.url.path,
                head["host"],
                head.get("authorization"),
                head.get("range"),
            )
        )

    async def _info(self, request: Request) -> Response:
        self._note(request)
        repo = self.repos.get(request.path_params["repo"])
        if repo is None or repo.status != 200:
            return _refusal(repo)
        files = [_described(name, data, repo) for name, data in repo.files.items()]
        name = request.path_params["repo"]
        return JSONResponse({"id": name, "sha": repo.commit, "siblings": files})

    async def _resolve(self, request: Request) -> Response:
        self._note(request)
        repo, path, data = self._found(request)
        if repo.gated:
            return _refusal(Repo({}, 401, "GatedRepo"))
        head = {"X-Repo-Commit": repo.commit, "ETag": f'"{_key(data)}"'}
        if len(data) < LARGE:
            return self._bytes(request, repo, data, head)
        head |= {"X-Linked-Etag": f'"{_key(data)}"', "X-Linked-Size": str(len(data))}
        return RedirectResponse(f"http://localhost:{self.port}/stored/{path}", 302, head)

    async def _stored(self, request: Request) -> Response:
        self._note(request)
        repo, _, data = self._found(request)
        return self._bytes(request, repo, repo.damaged or data, {})

    def _found(self, request: Request) -> tuple[Repo, str, bytes]:
        org, name, file = (request.path_params[key] for key in ("org", "name", "file"))
        repo = self.repos[f"{org}/{name}"]
        return repo, f"{org}/{name}/{file}", repo.files[file]

    def _bytes(self, request: Request, repo: Repo, data: bytes, head: dict[str, str]) -> Response:
        begin = 0
        asked = request.headers.get("range", "") if repo.ranges else ""
        if wanted := re.fullmatch(r"bytes=(\d+)-", asked):
            begin = int(wanted[1])
            head |= {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        status = 206 if wanted else 200
        rest = data[begin:]
        if len(data) >= LARGE and repo.cuts:
            head |= {"Content-Length": str(len(rest))}
            return StreamingResponse(_cut(rest, repo.cuts.pop(0)), status, head)
        return Response(rest, status, head)


async def _cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    yield data[:size]  # less than was announced, so that the connection is dropped


def _described(name: str, data: bytes, repo: Repo) -> dict[str, object]:
    size = repo.sizes.get(name, len(data))
    described: dict[str, object] = {"rfilename": name, "size": size, "blobId": _git(data)}
    if len(data) >= LARGE:
        described["lfs"] = {"size": size, "sha256": _key(data), "pointerSize": 134}
    return described


def _key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else _git(data)


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _refusal(repo: Repo | None) -> Response:
    repo = repo or Repo({}, 401, "RepoNotFound")
    return JSONResponse({"error": "no"}, repo.status, {"X-Error-Code": repo.code})
