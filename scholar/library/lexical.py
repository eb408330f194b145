"""BM25 over the passages, by tantivy. Derived from the catalogue and rebuilt from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import tantivy

from scholar.errors import LibraryError
from scholar.values import Passage

WRITER_HEAP = 64_000_000
"""Bytes tantivy may buffer before it writes a segment; it refuses less than 15 million."""
PRIOR = 50
"""Passages that a term's rarity is judged among before there are any: enough that a word the
library has weighs at least three quarters of one it lacks, in a library of one passage.
"""
# Words that shape a question without saying what it is about; tantivy's own list lacks them.
_QUESTION_WORDS = (
    "about am any are been being between can could did do does doing during each from had has have "
    "having he her here his how i its me my nor our ours she should so than their them those we "
    "were what when where which who whom whose why would you your"
).split()


class Lexical:
    """An inverted index in `folder`; one writer at a time, any number of readers.

    Raises LibraryError where the folder holds no index that can be read.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema = _schema()
        try:
            self._index = tantivy.Index(self._schema, path=str(folder), reuse=True)
        except ValueError as error:
            raise LibraryError(
                f"The word index in {folder} cannot be read ({error}); "
                "delete that folder, then: scholar library rebuild."
            ) from error
        self._analyzer = _analyzer()
        self._index.register_tokenizer("scholar", self._analyzer)

    def write(self, passages: Iterable[tuple[Passage, str]], gone: Iterable[str] = ()) -> None:
        """Index each passage under its text, after removing the papers `gone`. Idempotent."""
        writer = self._index.writer(WRITER_HEAP, 1)
        for paper_id in gone:
            writer.delete_documents_by_term("paper", paper_id)
        for passage, text in passages:
            writer.delete_documents_by_term("id", passage.id)
            writer.add_document(tantivy.Document(id=passage.id, paper=passage.paper_id, text=text))
        writer.commit()
        writer.wait_merging_threads()

    def clear(self) -> None:
        """Empty the index."""
        writer = self._index.writer(WRITER_HEAP, 1)
        writer.delete_all_documents()
        writer.commit()
        writer.wait_merging_threads()

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """The ids of the `k` best passages with their BM25 scores, best first.

        The query is built from the terms of the text, so no character of it has a meaning of its
        own; k1 and b are tantivy's 1.2 and 0.75.
        """
        terms = self.terms(query)
        if not terms:
            return []
        self._index.reload()
        searcher = self._index.searcher()
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "text", term, "freq"))
            for term in terms
        ]
        hits = searcher.search(tantivy.Query.boolean_query(clauses), k).hits
        return [(searcher.doc(address)["id"][0], float(score)) for score, address in hits]

    def terms(self, text: str) -> list[str]:
        """The index terms of `text`: lower case, without accents and stop words, stemmed."""
        return list(self._analyzer.analyze(text))

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        """Inverse document frequency of each term over all passages, as in BM25; unseen is most.

        PRIOR passages are added that have none of the terms, so that in a library of one paper the
        words it lacks do not outweigh all that it has.
        """
        self._index.reload()
        searcher = self._index.searcher()
        total = searcher.num_docs + PRIOR
        # The index counts what was removed until it next merges.
        found = {term: min(searcher.doc_freq("text", term), total) for term in set(terms)}
        return {term: math.log1p((total - n + 0.5) / (n + 0.5)) for term, n in found.items()}


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("paper", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", tokenizer_name="scholar", index_option="freq")
    return builder.build()


def _analyzer() -> tantivy.TextAnalyzer:
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(60))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.custom_stopword(_QUESTION_WORDS))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )
