"""Questions with known answers, and the documents to ask them of.

Three kinds are read. `answer` takes BEIR's `corpus.jsonl` and `queries.jsonl`, in which a query has
`answer` and may have `answer_aliases` and `answerable`, as MuSiQue's. `conflict` takes
`items.jsonl`: a question, two contexts and the answer of each, as WikiContradict's. `abstain` takes
the first with `qrels/*.tsv`, and asks each question twice: of all documents, and of a library that
lacks whatever supports any question; or it takes `claims_*.jsonl` beside a corpus, as SciFact's,
where a claim without evidence cannot be decided.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from scholar.errors import UsageError
from scholar.evaluation.beir import Document, corpus, judgements
from scholar.evaluation.rows import Row, rows
from scholar.values import Stance

Kind = Literal["answer", "conflict", "abstain"]
WHOLE, BEREFT = "whole", "bereft"
"""Names of the libraries: of all documents, and of those that support no question."""
_STANCES: dict[str, Stance] = {"SUPPORT": "supported", "CONTRADICT": "contradicted"}


@dataclass(frozen=True, slots=True)
class Item:
    """One asking of a question.

    `answers` are those that should be given, each in all its forms, and `statements` the same as
    whole sentences. `stance` is what should be found of a claim. Items of one `group` ask the same
    question, so that their scores are not independent. `shelf` names the library that is asked.
    """

    id: str
    group: str
    question: str
    answers: tuple[tuple[str, ...], ...] = ()
    statements: tuple[str, ...] = ()
    stance: Stance | None = None
    answerable: bool = True
    shelf: str = WHOLE


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """What is asked, of which documents. `notes` say what of the files is left out."""

    name: str
    kind: Kind
    items: tuple[Item, ...]
    shelves: Mapping[str, tuple[Document, ...]]
    notes: tuple[str, ...] = field(default=())

    def some(self, limit: int | None, seed: int) -> tuple[Item, ...]:
        """The items of `limit` questions drawn by `seed`, or all.

        A higher limit adds to what a lower one draws.
        """
        groups = list(dict.fromkeys(item.group for item in self.items))
        if limit is not None and limit < len(groups):
            random.Random(seed).shuffle(groups)
            groups = groups[:limit]
        wanted = set(groups)
        return tuple(item for item in self.items if item.group in wanted)


def read(kind: Kind, folder: Path) -> QuestionSet:
    """The set in `folder`; UsageError says what of it is missing or cannot be read."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name one that holds a set of questions.")
    readers = {"answer": _answer, "conflict": _conflict, "abstain": _abstain}
    found = readers[kind](folder)
    if not found.items:
        raise UsageError(f"{folder} has no question that eval {kind} can use; name another folder.")
    ids = [item.id for item in found.items]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise UsageError(f"{folder} has the id '{twice}' twice; give each question its own.")
    return found


def _answer(folder: Path) -> QuestionSet:
    asked = list(_queries(folder))
    items = tuple(_item(row) for row in asked if row.get("answerable", True))
    left_out = len(asked) - len(items)
    notes = (f"{left_out} questions without an answer are left out.",) if left_out else ()
    return QuestionSet(name_of(folder), "answer", items, {WHOLE: _corpus(folder)}, notes)


def _conflict(folder: Path) -> QuestionSet:
    needed = ("question", "context1", "context2", "answer1", "answer2")
    texts: dict[str, None] = {}
    items = []
    for n, row in enumerate(rows(folder / "items.jsonl", *needed)):
        # A context may leave out what it speaks of; the self-contained form names it.
        texts |= dict.fromkeys(_full(row, f"context{side}") for side in (1, 2))
        answers = tuple((row[f"answer{side}"].strip(),) for side in (1, 2))
        stated = tuple(_full(row, f"answer{side}") for side in (1, 2))
        question = " ".join(row["question"].split())
        items.append(Item(str(n), str(n), question, answers, stated))
    shelf = tuple(Document(str(n), f"Document {n}", text) for n, text in enumerate(texts, start=1))
    return QuestionSet(name_of(folder), "conflict", tuple(items), {WHOLE: shelf})


def _full(row: Row, name: str) -> str:
    return str(row.get(f"{name}_self_contained") or row[name]).strip()


def _abstain(folder: Path) -> QuestionSet:
    claims = sorted(folder.glob("claims_*.jsonl"))
    if claims:
        items = tuple(_claim(row) for path in claims for row in rows(path, "claim"))
        return QuestionSet(name_of(folder), "abstain", items, {WHOLE: _corpus(folder)})
    supports = _supports(folder)
    items = tuple(_with_and_without(_queries(folder), supports))
    documents = _corpus(folder)
    if not any(item.answerable for item in items):
        raise UsageError(
            f"{folder} has no answerable question with a document in qrels/*.tsv, so nothing can "
            "be left out; put the supporting documents there."
        )
    gone = {id for ids in supports.values() for id in ids}
    left = tuple(document for document in documents if document.id not in gone)
    return QuestionSet(name_of(folder), "abstain", items, {WHOLE: documents, BEREFT: left})


def _with_and_without(queries: Iterable[Row], supports: Mapping[str, set[str]]) -> Iterator[Item]:
    for row in queries:
        item = _item(row)
        if not row.get("answerable", True):
            yield _as(item, "as it is", answerable=False)
        elif supports.get(item.id):
            yield _as(item, "with", answerable=True)
            yield _as(item, "without", answerable=False, shelf=BEREFT)


def _as(item: Item, how: str, *, answerable: bool, shelf: str = WHOLE) -> Item:
    return Item(
        f"{item.id}, {how}", item.id, item.question, item.answers, (), None, answerable, shelf
    )


def _claim(row: Row) -> Item:
    labels = {part["label"] for parts in row.get("evidence", {}).values() for part in parts}
    stances = {_STANCES[label] for label in labels if label in _STANCES}
    stance: Stance = next(iter(stances), "not_enough") if len(stances) < 2 else "mixed"
    id = str(row.get("id", row["claim"]))
    question = f"Does this claim hold? {' '.join(row['claim'].split())}"
    return Item(id, id, question, stance=stance, answerable=bool(stances))


def _item(row: Row) -> Item:
    forms = [row["answer"], *(row.get("answer_aliases") or [])]
    answer = tuple(dict.fromkeys(form.strip() for form in forms if form.strip()))
    return Item(row["_id"], row["_id"], " ".join(row["text"].split()), (answer,))


def _queries(folder: Path) -> Iterator[Row]:
    """The rows of queries.jsonl; only those that can be answered need an answer."""
    for row in rows(folder / "queries.jsonl", "_id", "text"):
        if not isinstance(row.get("answer"), str):
            if row.get("answerable", True):
                raise UsageError(
                    f"{folder / 'queries.jsonl'}: query '{row['_id']}' has no 'answer'; add it, "
                    "or name a folder of questions with answers."
                )
            row["answer"] = ""
        yield row


def _corpus(folder: Path) -> tuple[Document, ...]:
    documents = (replace(d, text=d.text.strip() or d.title) for d in corpus(folder))
    return tuple(document for document in documents if document.text.strip())


def _supports(folder: Path) -> dict[str, set[str]]:
    """The documents judged relevant for each query, over all qrels."""
    found: dict[str, set[str]] = {}
    for path in sorted((folder / "qrels").glob("*.tsv")):
        for query, grades in judgements(path).items():
            found.setdefault(query, set()).update(id for id, grade in grades.items() if grade > 0)
    return found


def name_of(folder: Path) -> str:
    """What a set is called: as its folder."""
    return folder.resolve().name or "set"
