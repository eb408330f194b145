"""A few lines of LaTeX as the text they show, in one pass; pylatexenc gives the signs' names."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from scholar.readers.document import clean
from scholar.readers.macros import group_at

_TOKEN = re.compile(
    r"\\(?P<name>[A-Za-z]+)\*?[ \t]*\n?|\\(?P<sign>.)|(?P<mark>---?|``|''|[{}$~&])", re.DOTALL
)
_ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328",
    "r": "\u030a", "b": "\u0331", "d": "\u0323", "hat": "\u0302", "bar": "\u0304",
    "tilde": "\u0303", "vec": "\u20d7", "dot": "\u0307", "ddot": "\u0308", "check": "\u030c",
}  # fmt: skip
_MARKS = {"--": "–", "---": "—", "``": "“", "''": "”", "~": " ", "&": " "}
_SIGNS = {
    "\\": " ",
    ",": " ",
    ";": " ",
    ":": " ",
    " ": " ",
    "\n": " ",
    "!": "",
    "/": "",
    "-": "",
    "@": "",
}
_OWN = {
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textbar": "|",
    "textless": "<", "textgreater": ">", "textdollar": "$", "and": ", ", "par": " ", "xspace": " ",
    "newline": " ", "quad": " ", "qquad": " ", "left": "", "right": "", "big": "", "Big": "",
    "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "limits": "", "nolimits": "",
    "colon": ":", "mid": "|", "lvert": "|", "rvert": "|", "lVert": "‖", "rVert": "‖",
    "LaTeX": "LaTeX", "TeX": "TeX", "BibTeX": "BibTeX", "dag": "†", "ddag": "‡", "S": "§", "P": "¶",
    "copyright": "©", "i": "i", "j": "j",
}  # fmt: skip
_ARGUMENTS_GONE = {
    "label": 1, "vspace": 1, "hspace": 1, "color": 1, "textcolor": 1, "href": 1,
    "includegraphics": 1, "colorbox": 1, "fontsize": 2, "setlength": 2, "addtolength": 2,
    "bibinfo": 1, "bibfield": 1,
    "bibnamefont": 0, "raisebox": 1, "resizebox": 2, "scalebox": 1, "rotatebox": 1, "parbox": 1,
    "hypersetup": 1, "phantom": 1, "hphantom": 1, "vphantom": 1, "bibitemStop": 0, "index": 1,
    "pagestyle": 1, "thispagestyle": 1, "usefont": 4, "rule": 2, "hyperlink": 1, "hypertarget": 1,
    "foreignlanguage": 1, "selectlanguage": 1, "begin": 1, "end": 1, "cline": 1, "cmidrule": 1,
}  # fmt: skip
"""Arguments of a command that are no text, and how many."""
_FRACTIONS = ("frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac")
_OPTION = re.compile(r"\s*\[[^\]]*\]")
_OPTION_OF_GROUP = re.compile(r"\[[^\[\]]*\](?=\s*\{)")
_LETTERS = 2


def plain(tex: str) -> str:
    """What LaTeX would show of `tex`, as clean text: formulas as signs, unknown commands gone."""
    parts: list[str] = []
    at = 0
    while match := _TOKEN.search(tex, at):
        parts.append(tex[at : match.start()])
        shown, at = _shown(tex, match)
        parts.append(shown)
    return clean("".join([*parts, tex[at:]]))


def _shown(tex: str, match: re.Match[str]) -> tuple[str, int]:
    """The text of one token, and where to go on behind it."""
    if match["mark"]:
        return _MARKS.get(match["mark"], ""), match.end()
    name = match["name"] or match["sign"]
    # A letter makes an accent's name only alone: \\c{c}, never \\cdot.
    if name in _ACCENTS:
        return _accented(tex, match.end(), _ACCENTS[name])
    if match["sign"]:
        option = _OPTION.match(tex, match.end()) if name == "\\" else None
        return _SIGNS.get(name, name), option.end() if option else match.end()
    if name in _FRACTIONS:
        one, at = group_at(tex, match.end())
        two, at = group_at(tex, at)
        return (f"{{{one}}}/{{{two}}}", at) if "\\" not in one + two else _fraction(one, two, at)
    if name in _ARGUMENTS_GONE:
        return " ", _behind(tex, match.end(), _ARGUMENTS_GONE[name])
    sign = _OWN.get(name, _signs().get(name))
    if sign is None:
        option = _OPTION_OF_GROUP.match(tex, match.end())
        return "", option.end() if option else match.end()
    if name == "xspace":
        return match[0][len("\\xspace") :], match.end()
    # The space behind a command ends its name; words and signs keep it, as authors mean it, but
    # not the letters of Stra\\ss e and the like.
    letter = len(sign) == 1 and unicodedata.name(sign, "").startswith("LATIN")
    spaced = match[0][-1].isspace() and sign and not letter
    return f"{sign} " if spaced else sign, match.end()


def _fraction(one: str, two: str, at: int) -> tuple[str, int]:
    return f"{plain(one)}/{plain(two)}", at


def _accented(tex: str, at: int, accent: str) -> tuple[str, int]:
    letter, end = group_at(tex, at)
    letter = {"\\i": "i", "\\j": "j"}.get(letter.strip(), letter)
    if len(letter) > _LETTERS and not letter.isalpha():
        return "", at
    base = letter.strip("${} ")
    return unicodedata.normalize("NFC", base[:1] + accent + base[1:]) if base else "", end


def _behind(tex: str, at: int, count: int) -> int:
    while match := _OPTION.match(tex, at):
        at = match.end()
    for _ in range(count):
        if tex[at : at + 1] == "{":
            at = group_at(tex, at)[1]
        while match := _OPTION.match(tex, at):
            at = match.end()
    return at


@cache
def _signs() -> dict[str, str]:
    """Signs and letters by the names of their commands."""
    from pylatexenc.latex2text import get_default_latex_context_db

    known = get_default_latex_context_db().iter_macro_specs()
    return {
        spec.macroname: spec.simplify_repl.strip(" ")
        for spec in known
        if isinstance(spec.simplify_repl, str) and not re.search(r"[%<]", spec.simplify_repl)
    }
