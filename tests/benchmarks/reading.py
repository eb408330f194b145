"""How well papers are read: front matter, sentences and references against gold, and pages.

Gold is what the data folder has: BibTeX of PDFs, and of two papers GROBID's parse and the
corrected S2ORC record. "found" is the share of gold sentences, or titles of references, that
stand in the reader's text, or among its references, spaces, hyphens and accents aside.
"""

from __future__ import annotations

import json
import logging
import random
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bibtexparser.entrypoint import parse_file

from scholar.errors import SourceError
from scholar.library.passages import cut
from scholar.readers import SUFFIXES, Document, read
from scholar.text import sentences

DATA = Path(__file__).parents[3] / "shared" / "data"
PASSAGES = 1_000


def main() -> None:
    if not DATA.is_dir():
        print(f"Skipped: needs {DATA}.", file=sys.stderr)
        return
    print("### Reading\n")
    front_matter()
    agreement()
    everything()
    provenance()


def front_matter() -> None:
    """Title, authors and year of the PDFs that have gold BibTeX or a gold record."""
    right = total = 0
    print("| PDF | title | authors | year |\n|---|---|---|---|")
    for path, title, names, year in gold():
        document = read(path)
        marks = (
            bare(document.title) == bare(title),
            surnames(document.authors) == surnames(names),
            year is None or document.year == year,
        )
        right, total = right + sum(marks), total + len(marks)
        print(
            f"| {path.name} | " + " | ".join("right" if mark else "wrong" for mark in marks) + " |"
        )
    print(f"\n{right} of {total} right.\n")


def gold() -> Iterator[tuple[Path, str, list[str], int | None]]:
    """PDFs with their title, authors and year."""
    papers = DATA / "pdfs" / "papers"
    listed = papers / "pdfContentImporterTest-pdfs.bib"
    for entry in parse_file(str(listed)).entries:
        fields = {field.key: str(field.value) for field in entry.fields}
        path = papers / fields["file"]
        if path.is_file():
            people = re.split(r"\s+and(?=\s|[A-Z])", fields["author"])
            yield path, fields["title"], people, int(fields["year"])
    for path in sorted((DATA / "s2orc" / "pdf").glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        people = [f"{each['first']} {each['last']}" for each in record["authors"]]
        yield path.with_suffix(".pdf"), record["title"], people, None


def agreement() -> None:
    """Gold sentences and references in what the PDF and the TEI reader give of the same papers."""
    print("| paper | reader | gold sentences found | gold references found |\n|---|---|---|---|")
    for path in sorted((DATA / "s2orc" / "pdf").glob("*.json")):
        parse = json.loads(path.read_text("utf-8"))["pdf_parse"]
        said = list(gold_sentences(parse))
        titles = [entry["title"] for entry in parse["bib_entries"].values() if entry["title"]]
        for suffix in (".pdf", ".tei.xml"):
            document = read(path.with_name(path.stem + suffix))
            text = bare(document.text)
            found = sum(bare(sentence) in text for sentence in said)
            listed = " ".join(bare(each.title) for each in document.references)
            cited = sum(bare(title) in listed for title in titles)
            print(
                f"| {path.stem} | {suffix[1:]} | {found}/{len(said)} = {found / len(said):.3f} "
                f"| {cited}/{len(titles)} = {cited / len(titles):.3f} |"
            )
    for path in [*(DATA / "s2orc" / "jats").glob("*.nxml"), *(DATA / "s2orc" / "latex").glob("*")]:
        document = read(path)
        titled = sum(bool(each.title) for each in document.references)
        print(
            f"\n{path.name}: {len(document.sections)} sections, {len(document.text)} characters, "
            f"{titled} of {len(document.references)} references with a title."
        )
    print()


def gold_sentences(parse: dict[str, Any]) -> Iterator[str]:
    """Sentences of body and abstract; those with a formula or a cut citation are left out."""
    for paragraph in [*parse["abstract"], *parse["body_text"]]:
        text = paragraph["text"]
        for start, end in sentences(text):
            sentence = text[start:end]
            if len(sentence) > 40 and not re.search(r"[^\w\s.,;:()'’“”\"%/-]|; \.", sentence):
                yield sentence


def everything() -> None:
    """Every file of the folder, read or refused with a reason."""
    counts = {"read": 0, "refused": 0}
    reasons: list[str] = []
    for path in files():
        try:
            read(path)
            counts["read"] += 1
        except SourceError as error:
            counts["refused"] += 1
            reasons.append(f"- {str(error).replace(str(path), path.name)}")
    print(f"{counts['read']} files read, {counts['refused']} refused:\n")
    print("\n".join(reasons) + "\n")


def files() -> list[Path]:
    """Everything in the folders of papers that has the suffix of a reader."""
    found = [*(DATA / "pdfs").rglob("*"), *(DATA / "s2orc").rglob("*")]
    return sorted(path for path in found if path.is_file() and path.suffix in SUFFIXES)


def provenance() -> None:
    """Whether a sentence of a passage stands on its page by another PDF library."""
    missed = list(misplaced(PASSAGES))
    print(
        f"{PASSAGES - len(missed)} of {PASSAGES} random sentences found on their page by pypdf.\n"
    )
    for path, page, sentence in missed[:10]:
        print(f"- {path.name}, page {page}: {sentence[:160]}")
    print()


def misplaced(count: int) -> Iterator[tuple[Path, int, str]]:
    """Of `count` random sentences of passages, those that pypdf does not find on their page."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    chosen = random.Random(0)
    documents = dict(readable())
    passages = [(path, passage) for path, document in documents.items()
                for passage in cut("paper", document)]  # fmt: skip
    pages: dict[Path, list[str]] = {}
    for path, passage in chosen.choices(passages, k=count):
        start, end = chosen.choice(sentences(passage.text))
        page = passage.page_at(passage.start + start)
        assert page is not None
        if path not in pages:
            pages[path] = [bare(each.extract_text()) for each in PdfReader(path).pages]
        # A sentence may end on the next page.
        shown = "".join(pages[path][page - 1 : page + 1])
        if not stands_in(passage.text[start:end], shown):
            yield path, page, passage.text[start:end]


def readable() -> Iterator[tuple[Path, Document]]:
    for path in files():
        if path.suffix == ".pdf":
            try:
                yield path, read(path)
            except SourceError:
                continue


def stands_in(sentence: str, text: str) -> bool:
    """Whether `text`, bare, has the sentence, or nearly all of its words, around a footnote."""
    if bare(sentence) in text:
        return True
    words = [word for word in map(bare, sentence.split()) if word]
    return bool(words) and sum(word in text for word in words) >= 0.9 * len(words)


def bare(text: str) -> str:
    """Letters and digits alone, ligatures and accents resolved."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if character.isalnum())


def surnames(names: Iterable[str]) -> list[str]:
    return [bare(name.split()[-1]) for name in names]


if __name__ == "__main__":
    main()
