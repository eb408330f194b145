"""Scripted models that know how a question is taken apart and where its answers stand.

`Puzzle` is a multi-hop question of MuSiQue with its sub-questions and supporting passages,
`Dispute` a question of WikiContradict with two passages that contradict each other. A model that
knows them plans as it is given, and reads, writes and judges by them alone; what it can know is
bounded by the passages that the run shows it.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from minds import Mind, Seen, honest

from scholar.library import Entry
from scholar.prompts import quoted
from scholar.text import sentences
from scholar.values import Answer, Fact, Paper, Passage

_REFERENCE = re.compile(r"#(\d)")
_BEGINNING = 40
"""Characters by which a quote is known again."""
_SIDE = 900
"""Characters of one side of a conflict at most."""


@dataclass(frozen=True)
class Hop:
    """One sub-question, in which `#1` stands for the answer of the first; and its passage."""

    question: str
    answer: str
    passage: str
    text: str

    @property
    def parents(self) -> tuple[int, ...]:
        """Places of the hops whose answers it needs, from 0."""
        return tuple(sorted({int(n) - 1 for n in _REFERENCE.findall(self.question)}))

    @property
    def quote(self) -> str:
        """The sentence of the passage that has the answer, else the first."""
        found = [self.text[slice(*span)] for span in sentences(self.text)]
        return next((one for one in found if self.answer.lower() in one.lower()), found[0])


@dataclass(frozen=True)
class Puzzle:
    """A question with the hops that lead to its answer."""

    question: str
    answer: str
    hops: tuple[Hop, ...]
    triples: tuple[str, ...] = ()

    @cached_property
    def supports(self) -> frozenset[str]:
        """The ids of the supporting passages."""
        return frozenset(hop.passage for hop in self.hops)

    @cached_property
    def filled(self) -> tuple[str, ...]:
        """The sub-questions with the answers in their places."""
        answers = [hop.answer for hop in self.hops]
        return tuple(
            _REFERENCE.sub(lambda n: answers[int(n[1]) - 1], hop.question) for hop in self.hops
        )

    @cached_property
    def worded(self) -> tuple[str, ...]:
        """The sub-questions with earlier sub-questions in the places of answers not yet known."""
        said: list[str] = []
        for hop in self.hops:
            said.append(_REFERENCE.sub(lambda n: said[int(n[1]) - 1], hop.question))
        return tuple(said)

    def hop_of(self, text: str) -> int | None:
        """Which hop a step asks for, by how its question begins; None for another question."""
        asked = zip(self.filled, self.worded, strict=True)
        return next((at for at, forms in enumerate(asked) if text.startswith(forms)), None)


@dataclass(frozen=True)
class Dispute:
    """A question, and two passages that answer it differently, as paper id and text."""

    question: str
    answers: tuple[str, str]
    passages: tuple[str, str]
    texts: tuple[str, str]


class Known(Protocol):
    """What a scripted model knows of one question."""

    @property
    def question(self) -> str: ...


def musique(folder: Path) -> tuple[list[Entry], list[Puzzle]]:
    """The passages of MuSiQue, each as a paper, and its questions."""
    rows = {row["_id"]: row for row in _lines(folder / "corpus.jsonl")}
    supports: dict[str, list[str]] = {}
    for file in sorted((folder / "qrels").iterdir()):
        for line in file.read_text("utf-8").splitlines()[1:]:
            question, passage, score = line.split("\t")
            if int(score) > 0:
                supports.setdefault(question, []).append(passage)
    stated, words = triples(folder), _weights(rows)
    puzzles = []
    for row in _lines(folder / "queries.jsonl"):
        ids = supports[row["_id"]]
        hops = tuple(
            Hop(_plain(part["question"]), part["answer"], f"file:{id}", rows[id]["text"])
            for part, id in zip(row["decomposition"], _in_order(row, ids, words), strict=True)
        )
        known = tuple(said(fact) for id in ids for fact in stated.get(f"file:{id}#0", ()))
        puzzles.append(Puzzle(" ".join(row["text"].split()), row["answer"], hops, known))
    return [entry(f"file:{id}", row["title"], row["text"]) for id, row in rows.items()], puzzles


def wikicontradict(folder: Path) -> tuple[list[Entry], list[Dispute]]:
    """The passages of WikiContradict, two of each question, and its questions."""
    entries, disputes = [], []
    for n, row in enumerate(_lines(folder / "items.jsonl")):
        ids = (f"file:wc{n}a", f"file:wc{n}b")
        texts = (row["context1_self_contained"], row["context2_self_contained"])
        answers = (row["answer1"], row["answer2"])
        entries += [
            entry(id, f"Article {id[5:]}", text) for id, text in zip(ids, texts, strict=True)
        ]
        disputes.append(Dispute(" ".join(row["question"].split()), answers, ids, texts))
    return entries, disputes


def puzzles(count: int) -> list[Puzzle]:
    """Questions of two hops each, about things of which no two have a name in common."""
    made = []
    for n in range(count):
        town, lake = f"Town{n:03d}burg", f"Lake{n:03d}water"
        hops = (
            Hop(
                f"Where does the writer Author{n:03d}man live?",
                town,
                f"file:a{n}",
                f"The writer Author{n:03d}man has lived in {town} for a long and quiet time.",
            ),
            Hop(
                "At which lake does #1 lie?",
                lake,
                f"file:b{n}",
                f"{town} is a town that lies at {lake}, under a range of hills in the north.",
            ),
        )
        question = f"At which lake is the town in which Author{n:03d}man lives?"
        made.append(Puzzle(question, lake, hops))
    return made


def strays(puzzle: Puzzle, answer: Answer) -> set[str]:
    """What an answer has that belongs to another question: papers, and numbers of names."""
    said = [sentence.text for sentence in answer.sentences]
    texts = (answer.question, *said, *answer.coverage.searches, *answer.notes)
    cited = {c.paper_id for sentence in answer.sentences for c in sentence.citations}
    return (cited - puzzle.supports) | (_numbers(*texts) - _numbers(puzzle.question))


def _numbers(*texts: str) -> set[str]:
    return set(re.findall(r"(?<=[a-z])\d{3}(?=[a-z])", " ".join(texts)))


def entry(id: str, title: str, text: str) -> Entry:
    """A paper of one passage."""
    paper = Paper(id, title, holds="abstract")
    return Entry(paper, text, (Passage(f"{id}#0", id, 0, 0, len(text), text),))


def knowing(known: Sequence[Known]) -> Mind:
    """A model that knows these questions, and of any other does as `honest` does."""
    by_question = {quoted(one.question): one for one in known}

    def mind(seen: Seen) -> dict[str, Any]:
        one = by_question.get(seen.question)
        if isinstance(one, Puzzle):
            return _of_puzzle(one, seen)
        if isinstance(one, Dispute):
            return _of_dispute(one, seen)
        return honest(seen)

    return mind


def _of_puzzle(puzzle: Puzzle, seen: Seen) -> dict[str, Any]:
    match seen.call:
        case "planner":
            steps = [{"question": words, "query": words} for words in puzzle.worded]
            return {"premises": [], "steps": steps}
        case "graph":
            return {"steps": list(_nodes(puzzle))}
        case "chain" | "follow_up" | "tool_step":
            return _going_on(puzzle, seen)
        case "statements":
            return {"statements": list(puzzle.triples)}
        case "document":
            return {"text": " ".join(puzzle.filled)}
        case "recognise":
            return {"facts": list(_leading(puzzle, seen))}
        case "reader":
            return {"quotes": list(_found(puzzle, seen))}
        case "writer":
            return _written(puzzle, seen)
        case "answer":
            return _read_and_written(puzzle, seen)
        case _:
            return honest(seen)


def _leading(puzzle: Puzzle, seen: Seen) -> Iterator[str]:
    """The facts shown that the supporting passages state and that have the answer of a hop."""
    stated = {quoted(fact) for fact in puzzle.triples}
    answers = [quoted(hop.answer).lower() for hop in puzzle.hops]
    for id, fact in seen.facts.items():
        if fact in stated and any(answer in fact.lower() for answer in answers):
            yield id


def _going_on(puzzle: Puzzle, seen: Seen) -> dict[str, Any]:
    steps = _next(puzzle, seen)
    match seen.call:
        case "chain":
            return {"steps": [{**step, "answer": ""} for step in steps]}
        case "follow_up":
            return {"enough": not steps, "steps": steps}
        case _:
            return _tool(steps[:1])


def _next(puzzle: Puzzle, seen: Seen) -> list[dict[str, str]]:
    """The sub-questions that what is known allows to ask and does not answer."""
    asked = {at for text in seen.known.values() if (at := puzzle.hop_of(text)) is not None}
    solved = {at for at in asked if any(_answers(puzzle, at, t) for t in seen.known.values())}
    ready = (
        at
        for at, hop in enumerate(puzzle.hops)
        if at not in asked and all(parent in solved for parent in hop.parents)
    )
    return [{"question": puzzle.filled[at], "query": puzzle.filled[at]} for at in ready]


def _answers(puzzle: Puzzle, at: int, text: str) -> bool:
    return puzzle.hop_of(text) == at and quoted(puzzle.hops[at].answer) in text.removeprefix(
        puzzle.filled[at]
    )


def _nodes(puzzle: Puzzle) -> Iterator[dict[str, Any]]:
    for n, hop in enumerate(puzzle.hops, start=1):
        question = _REFERENCE.sub(r"#s\1", hop.question)
        yield {
            "id": f"s{n}",
            "op": "retrieve",
            "question": question,
            "query": question,
            "parents": [f"s{parent + 1}" for parent in hop.parents],
        }


def _tool(steps: Sequence[dict[str, str]]) -> dict[str, Any]:
    if not steps:
        return {"reason": "All is known.", "tool": "finish", "arguments": [], "question": ""}
    [step] = steps
    arguments = [{"name": "query", "value": step["query"]}]
    return {
        "reason": "It is lacking.",
        "tool": "search_library",
        "arguments": arguments,
        "question": step["question"],
    }


def _found(puzzle: Puzzle, seen: Seen) -> Iterator[dict[str, str]]:
    """One quote for each supporting passage that is shown, under the step that asks for it."""
    steps = {puzzle.hop_of(question): step for step, question in seen.asked.items()}
    shown = {text: label for label, text in seen.passages.items()}
    for at, hop in enumerate(puzzle.hops):
        label = shown.get(quoted(hop.text))
        if label is None:
            continue
        wanted = at in steps or None in steps
        last = at == len(puzzle.hops) - 1
        says = hop.answer if at in steps or (last and wanted) else ""
        yield {
            "passage": label,
            "quote": hop.quote,
            "step": steps.get(at, next(iter(seen.asked))),
            "helps": "answers" if says else "partly" if wanted else "background",
            "says": says,
        }


def _written(puzzle: Puzzle, seen: Seen) -> dict[str, Any]:
    quotes = {text: id for id, text in seen.quotes.items()}
    evidence = [id for hop in puzzle.hops if (id := quotes.get(quoted(hop.quote)))]
    if quoted(puzzle.hops[-1].quote) not in quotes:
        near = [{"text": text, "evidence": [id]} for text, id in quotes.items()]
        return _draft(near[:1], missing="No quote has the answer.")
    return _draft([{"text": f"The answer is {puzzle.answer}.", "evidence": evidence}])


def _read_and_written(puzzle: Puzzle, seen: Seen) -> dict[str, Any]:
    shown = {text: label for label, text in seen.passages.items()}
    quotes = [
        {"passage": label, "quote": hop.quote}
        for hop in puzzle.hops
        if (label := shown.get(quoted(hop.text)))
    ]
    if quoted(puzzle.hops[-1].text) not in shown:
        near: list[dict[str, Any]] = [{"text": q["quote"], "quotes": [q]} for q in quotes]
        return _draft(near[:1], missing="No passage has the answer.")
    return _draft([{"text": f"The answer is {puzzle.answer}.", "quotes": quotes}])


def _draft(
    sentences: list[dict[str, Any]], conflicts: Sequence[dict[str, Any]] = (), missing: str = ""
) -> dict[str, Any]:
    return {"sentences": sentences, "conflicts": list(conflicts), "missing": missing}


def _of_dispute(dispute: Dispute, seen: Seen) -> dict[str, Any]:
    sides = list(zip(dispute.texts, dispute.answers, strict=True))
    shown = {text: label for label, text in (seen.passages or seen.quotes).items()}
    match seen.call:
        case "reader":
            quotes = [
                {
                    "passage": shown[quoted(text)],
                    "quote": _whole(text),
                    "step": seen.steps[0],
                    "helps": "answers",
                    "says": answer,
                }
                for text, answer in sides
                if quoted(text) in shown
            ]
            return {"quotes": quotes}
        case "writer":
            begun = {text[:_BEGINNING]: id for text, id in shown.items()}
            return _disputed(
                {"text": _said(text), "evidence": [begun[quoted(text)[:_BEGINNING]]]}
                for text, _ in sides
                if quoted(text)[:_BEGINNING] in begun
            )
        case "answer":
            return _disputed(
                {
                    "text": _said(text),
                    "quotes": [{"passage": shown[quoted(text)], "quote": _whole(text)}],
                }
                for text, _ in sides
                if quoted(text) in shown
            )
        case _:
            return honest(seen)


def _disputed(sides: Iterable[dict[str, Any]]) -> dict[str, Any]:
    cited = list(sides)
    if len(cited) == 2:
        return _draft([], [{"about": "the answer", "sides": cited}])
    return _draft(cited, missing="" if cited else "No passage has the answer.")


def _said(text: str) -> str:
    """The beginning of a passage in its own words: its answer may be a sum that none states."""
    ends = [end for _, end in sentences(text) if end < _SIDE]
    return text[: max(ends, default=_SIDE)]


def _whole(text: str) -> str:
    """The passage's first paragraph: a side may take more than one sentence."""
    return text.split("\n\n")[0].strip()


def _plain(question: str) -> str:
    return " ".join(question.replace(">>", " ").split())


def _in_order(
    row: dict[str, Any], ids: Sequence[str], words: Callable[[str], dict[str, float]]
) -> Sequence[str]:
    """The supporting passages in the order of the hops, which the data does not tell: that in which
    they share most with the sub-questions and their answers.
    """
    parts = row["decomposition"]
    answers = [part["answer"] for part in parts]
    asked = [_REFERENCE.sub(lambda n: answers[int(n[1]) - 1], part["question"]) for part in parts]
    sought = [_words(f"{q} {a}") for q, a in zip(asked, answers, strict=True)]

    def fit(order: Sequence[str]) -> float:
        shared = (
            sum(words(id).get(word, 0.0) for word in said)
            for id, said in zip(order, sought, strict=True)
        )
        return sum(shared)

    return max(itertools.permutations(ids), key=fit)


def _weights(rows: dict[str, dict[str, str]]) -> Callable[[str], dict[str, float]]:
    """The words of a passage, each with its rarity; those of its title count double."""
    texts = {id: _words(f"{row['title']} {row['text']}") for id, row in rows.items()}
    held = Counter(word for words in texts.values() for word in words)

    def words(id: str) -> dict[str, float]:
        titled = _words(rows[id]["title"])
        rarity = {word: math.log(len(rows) / held[word]) for word in texts[id]}
        return {word: r * (2 if word in titled else 1) for word, r in rarity.items()}

    return words


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def triples(folder: Path) -> dict[str, list[Fact]]:
    """The facts that were extracted from each passage of MuSiQue, by its id in the library."""
    return {
        f"file:{row['_id']}#0": [
            Fact(str(fact[0]), str(fact[1]), str(fact[2]))
            for fact in row["triples"]
            if len(fact) == 3
        ]
        for row in _lines(folder / "openie.jsonl")
    }


def said(fact: Fact) -> str:
    """A fact as a plain statement."""
    return f"{fact.subject} {fact.relation} {fact.object}"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
