"""LaTeX sources: sections, paragraphs, floats and references of a paper as its authors wrote it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scholar.errors import SourceError
from scholar.readers import references
from scholar.readers.bundle import whole
from scholar.readers.document import Block, Document, place
from scholar.readers.macros import Definitions, group_at, split_at
from scholar.readers.preamble import (
    LINE_END,
    argument,
    authors_in,
    identifiers_in,
    without_notes,
    year_in,
)
from scholar.readers.tables import CELL_GAP
from scholar.readers.tex import plain
from scholar.values import Reference

_LEVELS = {"part": 0, "chapter": 0, "section": 1, "subsection": 2, "subsubsection": 3}
_FLOATS = {
    "figure": "Figure",
    "wrapfigure": "Figure",
    "SCfigure": "Figure",
    "teaserfigure": "Figure",
    "table": "Table",
    "wraptable": "Table",
    "sidewaystable": "Table",
    "longtable": "Table",
    "algorithm": "Algorithm",
}
_TABLES = ("tabular", "tabularx", "tabulary", "longtable", "supertabular", "tblr")
_FORMULAS = (
    "equation displaymath math align alignat gather multline eqnarray flalign dmath subequations"
).split()
_CODE = ("verbatim", "Verbatim", "lstlisting", "minted", "alltt")
_SKIPPED = (
    "comment tikzpicture pgfpicture picture filecontents CCSXML pspicture forest figurehere"
).split()
_TAKEN = (*_FLOATS, *_TABLES, *_FORMULAS, *_CODE, *_SKIPPED, "thebibliography", "abstract")
_TOKEN = re.compile(
    r"\\begin\s*\{(?P<env>[A-Za-z]+\*?)\}|\\end\s*\{(?P<end>[A-Za-z]+\*?)\}"
    r"|\\(?P<level>part|chapter|section|subsection|subsubsection)\b(?P<star>\*?)"
    r"|\\(?P<run>paragraph|subparagraph)\b\*?"
    r"|\\(?P<item>item)\b\s*(?:\[(?P<label>[^\]]*)\])?"
    r"|\\(?P<gone>maketitle|bibliographystyle|bibliography|title|author|date|thanks|affil|email|"
    r"affiliation|institute|address|keywords|ccsdesc|acmConference|acmDOI|acmYear|copyrightyear|"
    r"setcounter|addtocounter|setlength|vspace|hspace|pagestyle|thispagestyle|input|include|"
    r"usepackage|newtheorem|hypersetup|definecolor|graphicspath|titlerunning|authorrunning)\b\*?"
    r"|\\(?P<appendix>appendix)\b|(?P<gap>\n[ \t]*\n\s*|\\par\b)"
)
_LABEL = re.compile(r"\\label\s*\{([^{}]*)\}")
_REF = re.compile(
    r"\\(?P<kind>[Cc]ref|autoref|eqref|ref|vref|nameref|pageref)\*?\s*\{(?P<key>[^{}]*)\}"
)
_CITE = re.compile(
    r"[~\s]{0,3}\\(?P<kind>[A-Za-z]*cite[A-Za-z]*)\*?\s*(?P<notes>(?:\[[^\]]*\]\s*){0,2})\{(?P<keys>[^{}]*)\}"
)
_TEXTUAL = ("citet", "textcite", "newcite", "citeauthor", "citeA", "Citet", "shortcite")
_BIBITEM = re.compile(r"\\bibitem\s*(?P<label>\[)?")
_NATBIB = re.compile(r"(?P<names>.*?)\s*\((?P<year>(?:19|20)\d\d[a-z]?|[^()]*)\)")
_CELL = re.compile(r"&")
_RULES = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|endhead|endfirsthead|endfoot|endlastfoot|centering)\b"
    r"|\\(?:cline|cmidrule|addlinespace|specialrule|arrayrulecolor|rowcolor|cellcolor)"
    r"\s*(?:\([^)]*\))?(?:\[[^\]]*\])?(?:\s*\{[^{}]*\})?"
)
_SPANNING = re.compile(r"\\multi(?:column|row)\s*(?:\[[^\]]*\])?(?=\s*[{*])")
_SIZES = re.compile(
    r"\\(?:includegraphics|resizebox|scalebox|rotatebox|adjustbox|raisebox)\*?\s*(?:\[[^\]]*\])?"
)
_ID = re.compile(r"(?P<id>\d{4}\.\d{4,5})(?P<version>v\d+)?")


def read(path: Path, data: bytes) -> Document:
    """The document whose source is in `data`, a .tex file or an archive of them.

    Raises SourceError for what is no LaTeX, lacks its main file, or is far too large.
    """
    source, bibliography = whole(path, data)
    head, _, body = source.partition(r"\begin{document}")
    body = body.partition(r"\end{document}")[0]
    definitions = Definitions(head)
    body = definitions.expanded(body)
    listed = _listed(_inside_list(body) or definitions.expanded(bibliography))
    composer = _Composer(listed)
    composer.compose(body)
    blocks = composer.finished()
    if not any(not block.heading for block in blocks):
        raise SourceError(f"{path} holds no text below its headings; name the paper's main file.")
    text, _, sections = place(blocks)
    front = definitions.expanded(head) + body
    arxiv = _ID.match(path.name)
    return Document(
        text=text,
        title=plain(argument(front, r"\\title\b\s*(?:\[[^\]]*\])?\s*(?=\{)")),
        authors=tuple(dict.fromkeys(authors_in(front))),
        year=2000 + int(arxiv["id"][:2]) if arxiv else year_in(front),
        identifiers=identifiers_in(front, arxiv["id"] if arxiv else ""),
        version=(arxiv["version"] or "") if arxiv else "",
        sections=sections,
        references=tuple(entry.reference for entry in listed.values()),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the bibliography: the label it is cited by, and what it says."""

    label: str
    reference: Reference


def _inside_list(body: str) -> str:
    start = body.find(r"\begin{thebibliography}")
    end = body.find(r"\end{thebibliography}", start)
    return body[start : end if end > 0 else None] if start >= 0 else ""


def _listed(source: str) -> dict[str, _Entry]:
    """The entries of a bibliography by their keys, in order."""
    starts = list(_BIBITEM.finditer(source))
    ends = [*(start.start() for start in starts), len(source)][1:]
    found: dict[str, _Entry] = {}
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        at, label = start.end(), ""
        if start["label"]:
            at = _closing(source, at)
            label = source[start.end() : at - 1]
        key, after = group_at(source, at)
        entry = source[after:end].partition(r"\end{thebibliography}")[0]
        entry = re.sub(r"\\newblock\b|\\bib(?:info|field)\s*\{[^{}]*\}", " ", entry)
        named = _NATBIB.match(plain(label)) if label else None
        shown = f"{named['names']}, {named['year']}" if named else f"[{number}]"
        found[key.strip()] = _Entry(shown, references.parse(plain(entry)))
    return found


def _closing(source: str, at: int) -> int:
    """Where the optional argument that began before `at` ends, behind its bracket."""
    depth = 0
    for match in re.compile(r"(?<!\\)[{}\]]").finditer(source, at):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "]" and depth <= 0:
            return match.end()
    return len(source)


class _Composer:
    """Takes the body in order and makes blocks; numbers are filled in when all are known."""

    def __init__(self, listed: dict[str, _Entry]) -> None:
        self._listed = listed
        self._made: list[tuple[str, bool]] = []
        self._line: list[str] = []
        self._waiting: list[str] = []
        self._counts: Counter[str] = Counter()
        self._numbers = [0, 0, 0, 0]
        self._appendix = False
        self._current = ""
        self._labels: dict[str, str] = {}

    def compose(self, tex: str) -> None:
        """Take `tex`, paragraphs, sections and environments."""
        at = 0
        while match := _TOKEN.search(tex, at):
            self._line.append(tex[at : match.start()])
            at = self._token(tex, match)
        self._line.append(tex[at:])
        self._end()

    def finished(self) -> list[Block]:
        """All blocks, references to numbers and works resolved."""
        shown = ((self._shown(tex), heading) for tex, heading in self._made)
        return [Block(text, heading) for text, heading in shown if text]

    def _token(self, tex: str, match: re.Match[str]) -> int:
        """Act on one token; where to go on behind it."""
        if match["env"]:
            return self._environment(tex, match)
        if match["level"]:
            return self._section(tex, match)
        if match["run"]:
            self._end()
            title, at = group_at(tex, match.end())
            self._line.append(f"{title.rstrip('. ')}. ")
            return at
        if match["gone"]:
            return self._skip(tex, match.end())
        if match["appendix"]:
            self._appendix, self._numbers = True, [0, 0, 0, 0]
        if not (match["end"] and match["end"].rstrip("*") in ("math", "center")):
            self._end()
        if match["label"]:
            self._line.append(f"{match['label']} ")
        return match.end()

    def _section(self, tex: str, match: re.Match[str]) -> int:
        self._end()
        at = match.end()
        if re.compile(r"\s*\[").match(tex, at):
            at = _closing(tex, tex.index("[", at) + 1)
        title, at = group_at(tex, at)
        number = "" if match["star"] else self._number(_LEVELS[match["level"]])
        self._current = number
        self._label(title, number)
        self._made.append((f"{number} {title}", True))
        return at

    def _number(self, level: int) -> str:
        if level == 0:
            return ""
        self._numbers[level] += 1
        self._numbers[level + 1 :] = [0] * (3 - level)
        first = self._numbers[1]
        start = chr(64 + min(first, 26)) if self._appendix else str(first)
        return ".".join([start, *map(str, self._numbers[2 : level + 1])])

    def _environment(self, tex: str, match: re.Match[str]) -> int:
        name = match["env"].rstrip("*")
        if name not in _TAKEN:
            self._end()
            return self._skip(tex, match.end())
        inner, at = _environment_at(tex, match)
        if name in _FORMULAS:
            self._formula(inner, match["env"])
        elif name in _FLOATS:
            self._float(inner, name)
        elif name in _TABLES:
            self._end()
            self._made += [(each, False) for each in _rows(inner)]
        elif name in _CODE:
            self._end()
            self._made.append((_escaped(inner), False))
        elif name == "abstract":
            self._end()
            self._made.append(("Abstract", True))
            self.compose(inner)
        return at

    def _formula(self, inner: str, name: str) -> None:
        if not name.endswith("*") and name not in ("math", "displaymath"):
            self._counts["equation"] += 1
            self._label(inner, str(self._counts["equation"]))
        bare = re.sub(
            r"\\begin\s*\{[a-zA-Z]+\*?\}(?:\{[^{}]*\})?|\\end\s*\{[a-zA-Z]+\*?\}|&", " ", inner
        )
        self._line.append(f" ${LINE_END.sub(' ', _LABEL.sub('', bare)).replace('$', '')}$ ")

    def _float(self, inner: str, name: str) -> None:
        """Captions and tables wait for the end of the paragraph in which the float stands."""
        kind = _FLOATS[name]
        for caption in re.finditer(r"\\caption\b\*?(?:of\s*\{[^{}]*\})?\s*(?:\[[^\]]*\])?", inner):
            self._counts[kind] += 1
            number = str(self._counts[kind])
            self._label(inner, number)
            self._waiting.append(f"{kind} {number}: {group_at(inner, caption.end())[0]}")
        tables = [match for match in _TOKEN.finditer(inner)
                  if match["env"] and match["env"].rstrip("*") in _TABLES]  # fmt: skip
        for match in tables:
            self._waiting += _rows(_environment_at(inner, match)[0])
        if name == "longtable":
            self._waiting += _rows(inner)

    def _label(self, tex: str, number: str) -> None:
        for label in _LABEL.findall(tex):
            self._labels[label] = number

    def _skip(self, tex: str, at: int) -> int:
        """Behind the arguments, in brackets and braces, that stand at `at`."""
        bracket, brace = re.compile(r"\s*\["), re.compile(r"[ \t]*\n?[ \t]*\{")
        while True:
            if match := bracket.match(tex, at):
                at = _closing(tex, match.end())
            elif brace.match(tex, at):
                at = group_at(tex, at)[1]
            else:
                return at

    def _end(self) -> None:
        """End the paragraph; what had to wait for that follows it."""
        tex = "".join(self._line)
        self._line = []
        for label in _LABEL.findall(tex):
            self._labels.setdefault(label, self._current)
        notes: list[str] = []
        tex = without_notes(tex, notes)
        if tex.strip():
            self._made.append((tex, False))
        self._made += [(each, False) for each in [*notes, *self._waiting]]
        self._waiting = []

    def _shown(self, tex: str) -> str:
        tex = _REF.sub(self._numbered, _CITE.sub(self._cited, tex))
        return plain(_SIZES.sub("", tex))

    def _numbered(self, match: re.Match[str]) -> str:
        numbers = [self._labels.get(key.strip(), "") for key in match["key"].split(",")]
        shown = ", ".join(number for number in numbers if number)
        return f"({shown})" if match["kind"] == "eqref" and shown else shown

    def _cited(self, match: re.Match[str]) -> str:
        keys = [key.strip() for key in match["keys"].split(",")]
        labels = [self._listed[key].label for key in keys if key in self._listed]
        if match["kind"] == "nocite" or not labels:
            return ""
        if any(label.startswith("[") for label in labels):
            return " [" + ", ".join(label.strip("[]") for label in labels) + "]"
        if match["kind"] in _TEXTUAL:
            return " " + ", ".join(
                f"{label.rpartition(', ')[0]} ({label.rpartition(', ')[2]})" for label in labels
            )
        inner = "; ".join(labels)
        return f" {inner}" if match["kind"].startswith("citeal") else f" ({inner})"


def _environment_at(tex: str, match: re.Match[str]) -> tuple[str, int]:
    """What stands between a \\begin and its \\end, and where to go on behind it."""
    name = re.escape(match["env"])
    depth, start = 1, match.end()
    for each in re.compile(rf"\\(begin|end)\s*\{{{name}\}}").finditer(tex, start):
        depth += 1 if each[1] == "begin" else -1
        if depth == 0:
            return tex[start : each.start()], each.end()
    return tex[start:], len(tex)


def _rows(inner: str) -> Iterator[str]:
    """The rows of a table, cells set apart, with the table's own arguments left out."""
    at = 0
    while match := re.compile(r"\s*(?:\[[^\]]*\]|\{)").match(inner, at):
        at = group_at(inner, match.end() - 1)[1] if match[0].endswith("{") else match.end()
    for line in split_at(_RULES.sub(" ", inner[at:]), LINE_END):
        cells = [_without_span(cell).strip() for cell in split_at(line, _CELL)]
        if any(cells):
            yield CELL_GAP.join(cell for cell in cells if cell)


def _without_span(cell: str) -> str:
    while match := _SPANNING.search(cell):
        at = match.end()
        for _ in range(2):
            star = re.compile(r"\s*\*").match(cell, at)
            at = star.end() if star else group_at(cell, at)[1]
        text, end = group_at(cell, at)
        cell = cell[: match.start()] + text + cell[max(end, match.end()) :]
    return cell


def _escaped(code: str) -> str:
    return re.sub(
        r"([\\{}$%&#_^~])",
        lambda match: {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}.get(
            match[1], "\\" + match[1]
        ),
        code,
    )
