"""The list of references: split off from the text, cut into entries, and each entry read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from scholar.readers.document import Block, Page, clean
from scholar.readers.headings import is_caption, is_reference_list
from scholar.values import Reference

_LABEL = re.compile(
    r"\[(?P<bracket>[^\[\]\s]{1,30}(?: [^\[\]]{1,20})?)\]\s*|(?P<number>\d{1,3})\.\s+"
)
_ARXIV = re.compile(
    r"arxiv(?:\.org/(?:abs|pdf)/|[:.\s]*(?:preprint)?[:\s]*(?:abs/)?)"
    r"(?P<id>\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})|\babs/(?P<abs>\d{4}\.\d{4,5})",
    re.IGNORECASE,
)
_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>{}]+")
_URL = re.compile(r"(?:https?://|www\.)\S+")
_YEAR = re.compile(r"\b(?P<year>(?:19|20)\d\d)[a-z]?\b")
_DATED = re.compile(r"[\s,.:]*[\[(]\s*(?P<year>(?:19|20)\d\d)[a-z]?\b[^()\[\]]{0,20}[\])][\s.,:]*")
_YEAR_SENTENCE = re.compile(r"[.,]\s+(?P<year>(?:19|20)\d\d)[a-z]?\s*[.:]\s+(?=\S)")
_QUOTED = re.compile(r"[“\"„]\s*(?P<title>[^”\"“]{8,}?)[,.]?\s*[”\"“]|‘(?P<single>[^’]{8,}?)[,.]?’")
_COLON = re.compile(r"(?<=[.\w]):\s+(?=\w)")
# A stop that ends no initial and no abbreviation of names.
_STOP = re.compile(
    r"(?<!\b\w)(?<!\bJr)(?<!\bSr)(?<!\bSt)(?<!\bal)(?<!\bvs)(?<!\bvol)(?<!\bno)(?<!\bpp)(?<!\bed)"
    r"(?<!\beds)(?<!\bProc)(?<!\bet)[.?!]\s+(?=[\w“\"‘(\[¿])|(?<=\bal)\.,?\s+(?=[A-Z“])"
)
# Behind authors with initials first: A. Fox, B. Dog, and C. Cat. Title
_INITIAL = r"(?:[A-Z]\w?\.-?\s?){1,4}"
_INITIALS = r"(?:[A-Z]\.?(?:-[A-Z]\.?)?\s?){1,4}(?![a-z])"
_PARTICLE = r"(?:(?:van|von|de|der|den|del|della|di|da|du|dos|la|le|el|al|bin|ten|ter)\s+)*"
_SURNAME = rf"{_PARTICLE}[^\W\d_][\w’'‐-]+(?:\s[A-Z][\w’'‐-]+)?"
_ETC = r"(?:[,;]?\s*(?:et\s+al\.?|and\s+others))"
_SURNAME_FIRST = rf"{_SURNAME},?\s{_INITIALS}(?:,?\s(?:Jr|Sr|I{{2,3}})\.?)?"
_INITIALS_FIRST = rf"{_INITIAL}\s?{_SURNAME}"
_GAP = r"\s*(?:[,;]\s*(?:and\s+|&\s*)?|\s+and\s+|\s*&\s*)"
_BY_INITIALS = re.compile(
    rf"(?:{_INITIALS_FIRST}|{_SURNAME_FIRST})"
    rf"(?:{_GAP}(?:{_INITIALS_FIRST}|{_SURNAME_FIRST}))*{_ETC}?\s*(?:\([Ee]ds?\.?\))?"
)
_AND = re.compile(r"\s*;\s*(?:and\s+|&\s*)?|,?\s+(?:and|und|et|y)\s+|,?\s*&\s*")
_OTHERS = re.compile(r",?\s*(?:et\s+al\b\.?|and\s+others\b|\.\.\.|…).*$", re.IGNORECASE)
_EDITORS = re.compile(r"\s*\(?\b[Ee]ds?\b\.?\)?")
_GIVEN = re.compile(r"(?:[A-Z][a-z]?\.[\s-]?|[A-Z][\s-]?){1,4}")
_TAIL_INITIALS = re.compile(r"(?P<last>.+?)\s(?P<given>[A-Z]{1,4}|(?:[A-Z]\.[\s-]?){1,4})")
_BEFORE_CAPITAL = re.compile(r",\s(?=[A-Z]|in:?\s)")
_MOST_NAMES = 400
_MOST_WORDS = 7
"""Words of the longest name; some bodies are authors too."""
_LONGEST_ENTRY = 2_500
"""Characters; entries of large collaborations come to 2,000."""
_LONGEST_TITLE = 400
_LEAST_LIKE = 0.5
"""Share of the paragraphs below the heading that must look like entries."""
_SOME_NUMBERS = 3
_BRACKETED_ONE = re.compile(r"\[1\]\s")
_LATE = 0.4
"""Share of the paragraphs behind which a list without a heading may begin."""
_YEARS = range(1500, 2100)


def split(blocks: Iterable[Block]) -> tuple[list[Block], tuple[Reference, ...]]:
    """`blocks` without the lists of references, and their entries in order.

    A section is such a list where its heading says so and its paragraphs look like entries; what
    stands below it without looking like one, such as a figure, stays.
    """
    kept: list[Block] = []
    texts: list[str] = []
    for section in _sections(list(blocks)):
        found, rest = _taken(section)
        texts += found
        kept += rest
    if not texts:
        texts, kept = _unheaded(kept)
    return _paged(kept), tuple(parse(text) for text in texts)


def parse(entry: str) -> Reference:
    """What one entry says; its text is kept whole, and what cannot be told stays empty."""
    text = clean(entry)
    body = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    arxiv, doi = _ARXIV.search(body), _DOI.search(body)
    identifiers = {}
    if doi:
        identifiers["doi"] = doi[0].rstrip(".,;)]").lower()
    if arxiv:
        identifiers["arxiv"] = arxiv["id"] or arxiv["abs"]
    plain = _DOI.sub(" ", _URL.sub(" ", body))
    authors, title, year = _read(plain)
    return Reference(text, title, authors, year, identifiers)


def entries(paragraphs: Sequence[str]) -> list[str]:
    """The entries in the `paragraphs` of a list: one or several in each, or one over several."""
    cut = [piece for paragraph in paragraphs for piece in _numbered(paragraph)]
    labelled = sum(bool(_LABEL.match(piece)) for piece in cut) * 2 > len(cut)
    joined: list[str] = []
    for piece in cut:
        goes_on = not _LABEL.match(piece) if labelled else _is_rest(piece)
        if joined and goes_on and len(joined[-1]) + len(piece) < _LONGEST_ENTRY:
            joined[-1] = f"{joined[-1]} {piece}"
        else:
            joined.append(piece)
    return joined


def _sections(blocks: list[Block]) -> Iterator[list[Block]]:
    """The blocks from each heading up to the next."""
    section: list[Block] = []
    for block in blocks:
        if block.heading and section:
            yield section
            section = []
        section.append(block)
    yield section


def _taken(section: list[Block]) -> tuple[list[str], list[Block]]:
    """The entries of a section that lists references, and what of it stays in the text."""
    if not section or not section[0].heading or not is_reference_list(section[0].text):
        return [], section
    listed, others = _parted(section[1:])
    found = entries([block.text for block in listed])
    alike = sum(map(_like_entry, found))
    if not found or alike < _LEAST_LIKE * len(found):
        return [], section
    gone = {id(block) for block in listed}
    marks = [_hidden(block) if id(block) in gone else block for block in section[1:]]
    return found, [_hidden(section[0]), *marks] if others or marks else []


def _unheaded(blocks: list[Block]) -> tuple[list[str], list[Block]]:
    """A list at the end that has no heading: [1], [2] and on, as physicists print it."""
    starts = [at for at, block in enumerate(blocks) if _BRACKETED_ONE.match(block.text)]
    if not starts or starts[-1] < len(blocks) * _LATE:
        return [], blocks
    start = starts[-1]
    tail = blocks[start:]
    found = entries([block.text for block in tail if not is_caption(block.text)])
    if len(found) < _SOME_NUMBERS or not all(map(_like_entry, found)):
        return [], blocks
    return found, [
        *blocks[:start],
        *(block if is_caption(block.text) else _hidden(block) for block in tail),
    ]


def _parted(blocks: list[Block]) -> tuple[list[Block], list[Block]]:
    """Blocks of the list, and captions, pieces of tables and what follows the last entry."""
    labelled = [at for at, block in enumerate(blocks) if _LABEL.match(block.text)]
    numbered = len(labelled) >= _SOME_NUMBERS and len(labelled) * 2 > len(blocks)
    last = (
        labelled[-1]
        if numbered
        else max((at for at, block in enumerate(blocks) if _like_entry(block.text)), default=-1)
    )
    listed: list[Block] = []
    others: list[Block] = []
    for at, block in enumerate(blocks):
        tail = at > last and not _is_rest(block.text)
        (others if tail or is_caption(block.text) else listed).append(block)
    return listed, others


def _hidden(block: Block) -> Block:
    return Block("", pages=block.pages)


def _paged(blocks: list[Block]) -> list[Block]:
    """The blocks that have text; a page that began in a block without is begun by the next."""
    kept: list[Block] = []
    owed: Page | None = None
    for block in blocks:
        if not block.text:
            owed = block.pages[-1] if block.pages else owed
            continue
        if owed is not None and not any(page.start == 0 for page in block.pages):
            block = replace(block, pages=(Page(0, owed.number), *block.pages))
        owed = None
        kept.append(block)
    return kept


def _like_entry(text: str) -> bool:
    return bool(_LABEL.match(text) or _YEAR.search(text) or _URL.search(text)) and (
        len(text) <= _LONGEST_ENTRY
    )


def _is_rest(text: str) -> bool:
    """Whether `text` is the rest of an entry that a page or column end cut."""
    return text[:1].islower() or not (_YEAR.search(text) or _URL.search(text) or _LABEL.match(text))


def _numbered(text: str) -> Iterator[str]:
    """`text` cut where a next number of the list stands in it."""
    label = _LABEL.match(text)
    number = (label["number"] or label["bracket"]) if label else None
    if not number or not number.isdigit():
        yield text
        return
    bracketed = label is not None and label["bracket"] is not None
    start, count = 0, int(number)
    while True:
        mark = rf"\s\[{count + 1}\]\s" if bracketed else rf"(?<=[.)\d])\s{count + 1}\.\s+(?=[A-Z])"
        following = re.compile(mark).search(text, start + 1)
        if following is None:
            yield text[start:].strip()
            return
        yield text[start : following.start()].strip()
        start, count = following.start() + 1, count + 1


def _read(body: str) -> tuple[tuple[str, ...], str, int | None]:
    """Authors, title and year of an entry without its label, addresses and identifiers."""
    quoted = _QUOTED.search(body)
    if quoted:
        title = quoted["title"] or quoted["single"]
        return (
            _names(body[: quoted.start()]),
            _titled(title),
            _last_year(body[quoted.end() :], body),
        )
    for dated in (_DATED.search(body), _YEAR_SENTENCE.search(body)):
        if dated and dated.start() > 1 and _before_title(body[: dated.start()]):
            rest = body[dated.end() :]
            return _names(body[: dated.start()]), _titled(_sentence(rest)), int(dated["year"])
    authors, rest = _without_date(body)
    names = _names(authors)
    if not all(map(_could_be_name, names)):
        names, rest = (), body
    return names, _titled(_sentence(rest)), _last_year(body, body)


def _could_be_name(name: str) -> bool:
    return len(name.split()) <= _MOST_WORDS and not re.search(r"[\d:?!]", name)


def _before_title(text: str) -> bool:
    """Whether `text` holds authors and no title yet."""
    return not _STOP.search(f"{text.rstrip('. ')} ") or bool(
        _BY_INITIALS.fullmatch(text.strip(" .,"))
    )


def _without_date(body: str) -> tuple[str, str]:
    """Authors, and the rest that begins with the title, of an entry whose year is not between."""
    names = _BY_INITIALS.match(body)
    if names and names.end() > 4:
        rest = body[names.end() :].lstrip(" .,:")
        dated = re.match(r"(?:19|20)\d\d[a-z]?[.,:]\s+", rest)
        rest = rest[dated.end() :] if dated else rest
        # A comma behind the authors: one behind the title too.
        comma = body[names.end() :].startswith(",") and _BEFORE_CAPITAL.search(rest)
        return names[0], rest[: comma.start()] if comma else rest
    colon, stop = _COLON.search(body), _STOP.search(body)
    if colon and (stop is None or colon.start() < stop.start()) and "," in body[: colon.start()]:
        return body[: colon.start()], body[colon.end() :]
    if stop is None or len(body) - stop.end() < len("In X. 2000."):
        return "", body
    return body[: stop.start()], body[stop.end() :]


def _sentence(text: str) -> str:
    """The first sentence, or what stands before the name of a journal."""
    text = text.lstrip(" .,:")
    ends = [
        match.start()
        for match in (_STOP.search(text), re.search(r"[.,]\s+[Ii]n:?\s", text))
        if match
    ]
    stop = min(ends, default=len(text))
    if stop < len(text) and text[stop] in "?!":
        stop += 1
    return text[:stop]


def _titled(text: str) -> str:
    title = clean(text).strip(' ,;:“”"')
    title = title if title.endswith(("?", "!")) else title.rstrip(". ")
    return title if len(title) <= _LONGEST_TITLE else ""


def _last_year(text: str, otherwise: str) -> int | None:
    found = [int(match["year"]) for match in _YEAR.finditer(_ARXIV.sub(" ", text))]
    if not found and text is not otherwise:
        return _last_year(otherwise, otherwise)
    return next((year for year in reversed(found) if year in _YEARS), None)


def _names(text: str) -> tuple[str, ...]:
    """The names in a list of authors, given names first."""
    text = _EDITORS.sub("", _OTHERS.sub("", clean(text))).strip(" ,;:.(")
    if not text or len(text) > _LONGEST_ENTRY:
        return ()
    parts = [part.strip(" .,") for half in _AND.split(text) for part in half.split(",")]
    return tuple(_in_order([part for part in parts if part])[:_MOST_NAMES])


def _in_order(parts: Sequence[str]) -> list[str]:
    """`parts` between commas as names: "Fox", "A." is one, so is "Fox A"."""
    names: list[str] = []
    for part in parts:
        given = part if part.endswith(".") or len(part) > 2 else f"{part}."
        if names and _GIVEN.fullmatch(given) and "." not in names[-1]:
            names[-1] = f"{_dotted(part)} {names[-1]}"
        elif part in ("Jr", "Sr", "II", "III") and names:
            names[-1] = f"{names[-1]} {part}"
        else:
            tail = _TAIL_INITIALS.fullmatch(part)
            names.append(f"{_dotted(tail['given'])} {tail['last']}" if tail else part)
    return names


def _dotted(given: str) -> str:
    """Initials with stops: "AB" and "A.B" as "A. B."."""
    letters = re.sub(r"[.\s]+", " ", given).split()
    if len(letters) == 1 and letters[0].isupper() and "-" not in letters[0]:
        letters = list(letters[0])
    return " ".join(
        f"{letter}." if len(letter.split("-")[-1]) < 3 else letter for letter in letters
    )
