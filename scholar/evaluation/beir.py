"""Reading a judged set in BEIR's layout.

`corpus.jsonl` has `_id`, `title` and `text`, `queries.jsonl` has `_id` and `text`, and
`qrels/SPLIT.tsv` query id, document id and grade under one line of heading. `openie.jsonl`, where
it is there, has `_id` and `triples` that a model drew from that document.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scholar.errors import UsageError
from scholar.evaluation.rows import lines, rows

Judgements = dict[str, dict[str, int]]
Triple = tuple[str, str, str]
LAYOUT = "BEIR's layout has corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv in one folder"
SHOWN = 3
"""Ids that a sentence names of many."""


@dataclass(frozen=True, slots=True)
class Document:
    """One of the corpus; `triples` are those of `openie.jsonl`."""

    id: str
    title: str
    text: str
    triples: tuple[Triple, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Documents, queries by id, and the grade of each document that was judged for a query.

    `notes` say in sentences what of the files cannot be used.
    """

    split: str
    documents: list[Document]
    queries: dict[str, str]
    judgements: Judgements
    notes: tuple[str, ...] = ()


def read(folder: Path, split: str = "") -> JudgedSet:
    """The set in `folder`; without `split` the one called test, or the only one there is.

    Raises UsageError where a file is missing, a line cannot be read or no judgement can be used.
    """
    split = _split(folder, split)
    judged = judgements(folder / "qrels" / f"{split}.tsv")
    triples, dropped = _triples(folder / "openie.jsonl")
    documents = [replace(d, triples=tuple(triples.get(d.id, ()))) for d in corpus(folder)]
    asked = {
        row["_id"]: row["text"]
        for row in rows(folder / "queries.jsonl", "_id", "text", missing=LAYOUT)
    }
    ids = {document.id for document in documents}
    unasked = [query for query in judged if query not in asked]
    kept = {q: grades for q, grades in judged.items() if q in asked and any(grades.values())}
    absent = sorted({id for grades in kept.values() for id in grades if id not in ids})
    if not any(id in ids for grades in kept.values() for id in grades):
        raise UsageError(
            f"No query of {folder} has a judged document that is in its corpus; "
            f"check that corpus.jsonl, queries.jsonl and qrels/{split}.tsv belong together."
        )
    notes = [
        _note(absent, "judged documents are not in the corpus and count as never found"),
        _note(unasked, "judged queries are not in queries.jsonl and are left out"),
        f"{dropped} malformed triples are left out." if dropped else "",
    ]
    kept_queries = {query: asked[query] for query in kept}
    return JudgedSet(split, documents, kept_queries, kept, tuple(filter(None, notes)))


def _split(folder: Path, wanted: str) -> str:
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder; name one with corpus.jsonl, queries.jsonl, qrels."
        )
    there = sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))
    if not there:
        raise UsageError(f"{folder} has no qrels/*.tsv; put the judgements there, as BEIR does.")
    if wanted in there:
        return wanted
    if not wanted and ("test" in there or len(there) == 1):
        return "test" if "test" in there else there[0]
    said = f"has no split '{wanted}'" if wanted else "has several splits"
    raise UsageError(f"{folder} {said}; use --split with one of {', '.join(there)}.")


def corpus(folder: Path) -> Iterator[Document]:
    """The documents of `corpus.jsonl`, without triples; raises UsageError as `read`."""
    for row in rows(folder / "corpus.jsonl", "_id", "text", missing=LAYOUT):
        yield Document(row["_id"], row.get("title") or "", row["text"])


def judgements(path: Path) -> Judgements:
    """What a file of `qrels` says; raises UsageError as `read`."""
    judged: Judgements = {}
    for number, line in enumerate(lines(path, LAYOUT), start=1):
        parts = line.split("\t")
        if number == 1 and (len(parts) != 3 or not _is_number(parts[2])):
            continue  # the heading
        if len(parts) != 3 or not _is_number(parts[2]):
            raise UsageError(
                f"{path}, line {number}: not a query id, a document id and a whole number "
                "with tabs between; correct it."
            )
        judged.setdefault(parts[0], {})[parts[1]] = int(parts[2])
    return judged


def _triples(path: Path) -> tuple[dict[str, list[Triple]], int]:
    """The triples of each document, and how many are none."""
    found: dict[str, list[Triple]] = {}
    dropped = 0
    if path.is_file():
        for row in rows(path, "_id", missing=LAYOUT):
            for triple in row.get("triples") or []:
                if _is_triple(triple):
                    found.setdefault(row["_id"], []).append(tuple(triple))
                else:
                    dropped += 1
    return found, dropped


def _is_triple(triple: object) -> bool:
    return (
        isinstance(triple, list)
        and len(triple) == 3
        and all(isinstance(part, str) and part.strip() for part in triple)
    )


def _is_number(text: str) -> bool:
    return text.strip().removeprefix("-").isdecimal()


def _note(ids: list[str], about: str) -> str:
    if not ids:
        return ""
    named = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
    return f"{len(ids)} {about}: {named}."
