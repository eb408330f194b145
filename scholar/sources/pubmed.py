"""PubMed's export in XML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from scholar.sources.markup import root_of, text_in
from scholar.sources.record import Record, Skipped
from scholar.sources.tagged import entry, whole

_KINDS = ("PubmedArticle", "PubmedBookArticle")
_CORRECTIONS = ".//CommentsCorrectionsList/CommentsCorrections"


def read(path: Path) -> list[Record | Skipped]:
    """The articles of the file at `path`, in order; what cannot be used stands as Skipped.

    Raises SourceError where there is none at all to be read.
    """
    items = [item for item in root_of(path).iter() if item.tag in _KINDS]
    found = (each for item in items for each in _record(item, path.parent))
    return whole(found, path, "PubMed")


def _record(item: Element, folder: Path) -> Iterator[Record | Skipped]:
    article = item.find("MedlineCitation/Article")
    if article is None:
        article = item.find("BookDocument")
    if article is None:
        article = item
    pmid = text_in(item, "MedlineCitation/PMID", "BookDocument/PMID")
    kinds = {each.get("RefType") for each in item.iterfind(_CORRECTIONS)}
    yield from entry(
        folder,
        title=text_in(article, "ArticleTitle", "Book/BookTitle", "VernacularTitle"),
        where=f"PMID {pmid}" if pmid else "an article without PMID",
        authors=[_name(author) for author in article.iterfind(".//AuthorList[1]/Author")],
        year=text_in(article, "Journal/JournalIssue/PubDate", "Book/PubDate", "ArticleDate"),
        venue=text_in(article, "Journal/Title", "Book/BookTitle", "Book/Publisher/PublisherName"),
        abstract=" ".join(_parts(article)),
        doi=text_in(
            item,
            "MedlineCitation/Article/ELocationID[@EIdType='doi']",
            ".//ArticleIdList/ArticleId[@IdType='doi']",
        ),
        pmid=pmid,
        retracted="RetractionIn" in kinds,
    )


def _name(author: Element) -> str:
    parts = (text_in(author, "ForeName", "Initials"), text_in(author, "LastName"))
    return " ".join(filter(None, parts)) or text_in(author, "CollectiveName")


def _parts(article: Element) -> Iterator[str]:
    for part in article.iterfind("Abstract/AbstractText"):
        text = " ".join("".join(part.itertext()).split())
        label = part.get("Label", "")
        yield f"{label.capitalize()}: {text}" if label else text
