"""LaTeX sources as text: one file, or an archive such as arXiv's. Nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from scholar.errors import SourceError
from scholar.readers.plain import decoded

_KEPT = (".tex", ".ltx", ".latex", ".bbl")
_MOST_UNPACKED = 512 * 2**20
"""Bytes of an archive with all its pictures; arXiv takes no more than 50 MiB packed."""
_MOST_TEXT = 16 * 2**20
"""Bytes of all TeX files together, inputs counted as often as they are read."""
_MOST_FILES = 5_000
_DEEPEST = 20
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*(?:\n[ \t]*)?")
_DEEPEST_GROUP = 100
"""Papers nest up to 15 deep; reading takes time with the depth."""
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_SPACES = re.compile(r"([ \t~])[ \t~]{2,}")
_INPUT = re.compile(
    r"\\(?:input|include|subfile|subimport\{(?P<folder>[^{}]*)\}|import\{(?P<from>[^{}]*)\})"
    r"\s*(?:\{(?P<name>[^{}]*)\}|(?P<bare>[\w./-]+))"
)
_BEGINS = re.compile(r"\\document(?:class|style)\b")
_DOCUMENT = r"\begin{document}"
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


class _TooLarge(Exception):
    """More than a paper's source can be."""


class _Counted(io.RawIOBase):
    """A stream that refuses to give more than it may."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self._stream, self._left = stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise _TooLarge
        buffer[: len(data)] = data
        return len(data)


def whole(path: Path, data: bytes) -> tuple[str, str]:
    """The main file of the source in `data` with its inputs in their places, and its .bbl's text.

    Raises SourceError for what is no LaTeX, lacks its main file, or is far too large.
    """
    try:
        files = {name: _text(path, text) for name, text in _files(path, data)}
        main = _main(path, files)
        merged = _merged(files, main, [_MOST_TEXT], ())
    except _TooLarge:
        raise SourceError(
            f"{path} unpacks to more than a paper's source can be; name the paper's own file."
        ) from None
    bibliography = _bibliography(files, main)
    if max(_depth(merged), _depth(bibliography)) > _DEEPEST_GROUP:
        raise SourceError(f"{path} has braces that never close; name a source that compiles.")
    return merged, bibliography


def _depth(tex: str) -> int:
    """How many groups stand within one another, at most."""
    depth = deepest = 0
    for brace in _BRACE.findall(tex):
        depth = max(0, depth + {"{": 1, "}": -1}.get(brace, 0))
        deepest = max(deepest, depth)
    return deepest


def _text(path: Path, data: bytes) -> str:
    text = data.decode("utf-8") if _is_utf8(data) else decoded(path, data)
    text = _SPACES.sub(r"\1", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _COMMENT.sub(r"\1", text)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _files(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The TeX files by name: those of an archive, or the file itself and what lies beside it."""
    try:
        if data.startswith(b"\x1f\x8b"):
            yield from _gzipped(data)
        elif data.startswith(b"PK"):
            yield from _zipped(data)
        elif data[257:262] == b"ustar":
            yield from _tarred(io.BytesIO(data))
        else:
            yield path.name, data
            yield from _beside(path)
    except _BROKEN:
        raise SourceError(f"{path} is a damaged archive; download it again.") from None
    except RuntimeError:
        # What zipfile raises for a member that is encrypted.
        raise SourceError(f"{path} is locked by a password; unpack it and pack it anew.") from None


def _gzipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
        stream = io.BufferedReader(_Counted(packed, _MOST_UNPACKED))
        if stream.peek(512)[257:262] == b"ustar":
            yield from _tarred(stream)
        else:
            yield "main.tex", _at_most(stream, _MOST_TEXT)


def _tarred(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    left = _MOST_TEXT
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count > _MOST_FILES:
                raise _TooLarge
            if member.isfile() and member.name.lower().endswith(_KEPT):
                content = archive.extractfile(member)
                text = _at_most(content, left) if content else b""
                left -= len(text)
                yield _named(member.name), text


def _zipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    left = _MOST_TEXT
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for count, member in enumerate(archive.infolist()):
            if count > _MOST_FILES:
                raise _TooLarge
            if member.filename.lower().endswith(_KEPT):
                with archive.open(member) as content:
                    text = _at_most(content, left)
                left -= len(text)
                yield _named(member.filename), text


def _beside(path: Path) -> Iterator[tuple[str, bytes]]:
    """The other TeX files in the folder of a file on disk and below it, links left out."""
    folder = path.parent
    left = _MOST_TEXT
    for count, other in enumerate(sorted(folder.rglob("*"))):
        if count > _MOST_FILES:
            return
        inside = other.resolve().is_relative_to(folder.resolve())
        if other.suffix.lower() in _KEPT and inside and other.is_file() and other != path:
            with other.open("rb") as content:
                text = content.read(left)
            left -= len(text)
            yield other.relative_to(folder).as_posix(), text


def _at_most(stream: IO[bytes], most: int) -> bytes:
    data = stream.read(most + 1)
    if len(data) > most:
        raise _TooLarge
    return data


def _named(name: str) -> str:
    return str(PurePosixPath(name))


def _main(path: Path, files: dict[str, str]) -> str:
    """The file that begins the document: the named one, else the longest that could."""
    if path.name in files:
        if _DOCUMENT in files[path.name]:
            return path.name
        raise SourceError(
            f"{path} is a part of a LaTeX document; name the file with \\begin{{document}}."
        )
    mains = [name for name, text in files.items() if _BEGINS.search(text) and _DOCUMENT in text]
    mains = mains or [name for name, text in files.items() if _DOCUMENT in text]
    if not mains:
        raise SourceError(f"{path} holds no LaTeX document; name the archive of a paper's source.")
    return max(mains, key=lambda name: len(_merged(files, name, [_MOST_TEXT], ())))


def _merged(files: dict[str, str], name: str, left: list[int], within: tuple[str, ...]) -> str:
    """The text of a file with its inputs in their places; none that is not among `files`."""
    left[0] -= len(files[name])
    if left[0] < 0:
        raise _TooLarge

    def included(match: re.Match[str]) -> str:
        folder = match["folder"] or match["from"] or ""
        target = _found(files, f"{folder}/{match['name'] or match['bare']}".lstrip("/"))
        if target is None or target in (*within, name) or len(within) > _DEEPEST:
            return ""
        return _merged(files, target, left, (*within, name))

    return _INPUT.sub(included, files[name])


def _found(files: dict[str, str], name: str) -> str | None:
    name = str(PurePosixPath(name.strip()))
    names = (name, f"{name}.tex", f"{name}.ltx")
    exact = next((each for each in names if each in files), None)
    return exact or next(
        (file for file in files if file.endswith(tuple(f"/{n}" for n in names))), None
    )


def _bibliography(files: dict[str, str], main: str) -> str:
    """The text of the .bbl that belongs to the main file, else of the longest."""
    own = files.get(str(PurePosixPath(main).with_suffix(".bbl")))
    lists = [text for name, text in files.items() if name.lower().endswith(".bbl")]
    return own or max(lists, key=len, default="")
