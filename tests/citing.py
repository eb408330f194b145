"""Real papers with what they cite, from S2ORC's records, as `scholar eval ideas` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_citing_papers(source: Path, folder: Path) -> Path:
    """Write to `folder` the abstracts of the papers in `source` as backgrounds, and as a corpus the
    titles of all that they cite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    corpus: dict[str, str] = {}
    asked = []
    for path in sorted(source.rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        abstract, titles = _abstract(record), list(_titles(record))
        if len(abstract.split()) < 40 or len(titles) < 5:
            continue
        corpus |= {_key(title): title for title in titles}
        cited = sorted({_key(title) for title in titles})
        asked.append({"_id": path.stem, "background": abstract, "cited": cited})
    documents = [{"_id": id, "title": "", "text": title} for id, title in corpus.items()]
    for name, rows in (("backgrounds", asked), ("corpus", documents)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def _abstract(record: dict[str, Any]) -> str:
    parts = _part(record, "abstract")
    texts = parts if isinstance(parts, list) else [{"text": parts or ""}]
    return " ".join(part["text"] for part in texts)[:3_000]


def _titles(record: dict[str, Any]) -> Iterator[str]:
    for entry in (_part(record, "bib_entries") or {}).values():
        title = " ".join((entry.get("title") or "").split())
        if len(title.split()) >= 3:
            yield title


def _part(record: dict[str, Any], name: str) -> Any:
    """In records of 2019 it stands one level down, in those made from a PDF too."""
    for place in (record, record.get("grobid_parse"), record.get("pdf_parse")):
        if place and place.get(name):
            return place[name]
    return None


def _key(title: str) -> str:
    return "".join(c for c in title.casefold() if c.isalnum())[:80]
