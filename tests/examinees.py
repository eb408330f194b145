"""Small made-up sets to be examined on, and scripted models that know, invent or keep silent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minds import Mind, Seen, honest

CAPITALS = {"Arda": "Tirion", "Breasal": "Gorias", "Cockaigne": "Honeywell", "Dinas": "Emrys"}
QUESTIONS = {f"What is the capital of {land}?": city for land, city in CAPITALS.items()}

_ANSWER = re.compile(r'<answer number="\d">\n(.*?)\n</answer>', re.DOTALL)
_TEXT = re.compile(r"<text[^>]*>\n(.*?)\n</text>", re.DOTALL)
_STATEMENT = re.compile(r"<statement>\n(.*?)\n</statement>", re.DOTALL)


def capitals(folder: Path, **more: Any) -> Path:
    """A set in BEIR's layout: four lands, a question about the capital of each, and noise."""
    lands = [
        {
            "_id": f"d{n}",
            "title": land,
            "text": f"The capital of {land} has always been the old city of {city}.",
        }
        for n, (land, city) in enumerate(CAPITALS.items())
    ]
    noise = [
        {"_id": f"n{n}", "title": "Weather", "text": f"In week {n} it rained on the capital."}
        for n in range(4)
    ]
    asked = [
        {"_id": f"q{n}", "text": text, "answer": city, "answer_aliases": [f"old {city}"]}
        for n, (text, city) in enumerate(QUESTIONS.items())
    ]
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(len(lands)))
    write(folder / "corpus.jsonl", [*lands, *noise])
    write(folder / "queries.jsonl", [*asked, *more.get("queries", ())])
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", "utf-8")
    return folder


def disputes(folder: Path) -> Path:
    """A set of three questions on which two contexts disagree."""
    rows = []
    for land, (one, other) in {
        "Arda": ("1411", "1412"),
        "Breasal": ("a lion", "a swan"),
        "Dinas": ("no", "yes"),
    }.items():
        rows.append(
            {
                "question": f"What do the annals say of {land}?",
                "context1": f"The older annals of the land of {land} say {one} about it.",
                "context2": f"The newer annals of the land of {land} say {other} about it.",
                "answer1": one,
                "answer2": other,
                "answer1_self_contained": f"Of {land} they say {one}.",
                "answer2_self_contained": f"Of {land} they say {other}.",
            }
        )
    write(folder / "items.jsonl", rows)
    return folder


def claims(folder: Path) -> Path:
    """A set of claims: one supported, one contradicted, one that nothing decides."""
    capitals(folder)
    (folder / "queries.jsonl").unlink()

    def evidence(label: str) -> dict[str, Any]:
        return {"0": [{"sentences": [0], "label": label}]}

    rows = [
        {"id": 1, "claim": "The capital of Arda is Tirion.", "evidence": evidence("SUPPORT")},
        {"id": 2, "claim": "The capital of Arda is Gorias.", "evidence": evidence("CONTRADICT")},
        {"id": 3, "claim": "The capital of Arda has nine gates.", "evidence": {}},
    ]
    write(folder / "claims_train.jsonl", rows)
    return folder


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def knows(seen: Seen) -> dict[str, Any]:
    """Reads off the right answer where a passage has it, else says what is missing; judges well."""
    match seen.call:
        case "answer":
            return _known(seen)
        case "entails" | "reported":
            return judges(seen)
        case _:
            return honest(seen)


def invents(seen: Seen) -> dict[str, Any]:
    """Answers whatever it likes from quotes that nobody wrote."""
    if seen.call == "answer":
        return draft("Atlantis.", {"passage": "p1", "quote": "Atlantis rules all the other lands."})
    return knows(seen)


def overclaims(seen: Seen) -> dict[str, Any]:
    """Answers whatever it likes from a quote that is there."""
    if seen.call == "answer":
        label, text = next(iter(seen.passages.items()))
        said = draft("Atlantis.", {"passage": label, "quote": text})
        return {**said, "stance": "mixed"} if "claim" in seen.question else said
    return knows(seen)


def declines(seen: Seen) -> dict[str, Any]:
    """Answers nothing."""
    if seen.call == "answer":
        return {"sentences": [], "conflicts": [], "missing": "No passage says it."}
    return knows(seen)


def one_sided(seen: Seen) -> dict[str, Any]:
    """Of two sides, tells one."""
    said = knows(seen)
    if seen.call == "answer" and said["conflicts"]:
        return {**said, "sentences": said["conflicts"][0]["sides"][:1], "conflicts": []}
    return said


def judging(mind: Mind, calls: list[str]) -> Mind:
    """`mind`, and the names of what it is asked."""

    def counting(seen: Seen) -> Any:
        calls.append(seen.call)
        return mind(seen)

    return counting


def judges(seen: Seen) -> dict[str, Any]:
    """A statement is entailed, and an answer reported, if its last word is in the text."""
    texts = " ".join(_TEXT.findall(seen.text))

    def stands(said: str) -> bool:
        return said.rstrip(".").split()[-1] in re.findall(r"\w+", texts)

    if seen.call == "reported":
        first, second = _ANSWER.findall(seen.text)
        return {"first": stands(first), "second": stands(second)}
    [statement] = _STATEMENT.findall(seen.text)
    return {"why": "", "entailed": stands(statement)}


def draft(text: str, *quotes: Mapping[str, str]) -> dict[str, Any]:
    sentence = {"text": text, "quotes": list(quotes)}
    return {"sentences": [sentence], "conflicts": [], "missing": ""}


def _known(seen: Seen) -> dict[str, Any]:
    if "annals" in seen.question:
        return _both_sides(seen)
    if "claim" in seen.question:
        return _stance(seen)
    city = QUESTIONS.get(seen.question, "nowhere")
    for label, text in seen.passages.items():
        if city in text:
            return draft(f"{city}.", {"passage": label, "quote": text})
    return declines(Seen("answer", "", "", {}, {}, (), "", {}, {}))


def _both_sides(seen: Seen) -> dict[str, Any]:
    land = seen.question.rstrip("?").split()[-1]
    sides = [
        {
            "text": f"They say {said[1]}.",
            "quotes": [{"passage": label, "quote": text}],
        }
        for label, text in sorted(seen.passages.items(), key=lambda one: one[1])
        if (said := re.search(rf"land of {land} say (.*) about it", text))
    ]
    return {"sentences": [], "conflicts": [{"about": "it", "sides": sides}], "missing": ""}


def _stance(seen: Seen) -> dict[str, Any]:
    label, text = next((n, t) for n, t in seen.passages.items() if "Tirion" in t)
    stance = {"Tirion": "supported", "Gorias": "contradicted"}
    found = next((s for word, s in stance.items() if word in seen.question), "not_enough")
    return {**draft("It is Tirion.", {"passage": label, "quote": text}), "stance": found}
