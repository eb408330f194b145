from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scholar.errors import SourceError
from scholar.readers import Document, read
from scholar.readers.tex import plain

PAPER = r"""\documentclass{article}
\newcommand{\ours}{\textsc{Fox}\xspace}\newcommand{\speed}[1]{#1~km/h}
\title[Short]{Of Foxes\thanks{Paid.} \\ and Dogs}
\author{Ann Fox$^{1}$\thanks{Equal.}, Bob~B. Dog$^2$ \\ $^1$University of the Wood
\and Cy van der Cat \\ New York}
\date{March 2019}
\begin{document}\maketitle
\begin{abstract}We study \emph{foxes}.\end{abstract}
\section{Introduction}\label{sec:intro}
The \ours is fast \citep{fox}, at \speed{12}.\footnote{Or so.} % a comment
It follows \citet{dog}; see Table~\ref{tab:a} and
\begin{equation}\label{eq:a} a = \frac{1}{2} \alpha \end{equation}
where $\alpha \leq 3$, as in Eq.~\eqref{eq:a}.

\begin{table}[h]\caption{Speeds}\label{tab:a}\begin{tabular}{lr}\toprule
Fox & 12\,\% \\ \multicolumn{2}{c}{Dog \& cat} \\\bottomrule\end{tabular}\end{table}
\subsection*{Items}
\begin{itemize}\item One \item Two\end{itemize}
\input{part}
\appendix
\section{More}
Na\"{\i}ve --- ``quoted'' Stra\ss e.
\begin{verbatim}x_1 = {a}\end{verbatim}
\begin{thebibliography}{9}
\bibitem[{Fox(2001)}]{fox} Ann Fox. 2001. \newblock Of dogs. \newblock \emph{Wood}.
\bibitem[{Dog and Cat(2003)}]{dog} Bob Dog and Cy Cat. 2003. Of foxes. In \emph{Proc}.
\end{thebibliography}
\end{document}
"""


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def body(folder: Path, tex: str) -> Document:
    source = rf"\documentclass{{article}}\begin{{document}}{tex}\end{{document}}"
    return read(write(folder, "a.tex", source))


def tarred(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def test_a_source_is_read_as_its_paper(tmp_path: Path) -> None:
    document = read(write(tmp_path, "a.tex", PAPER))
    assert document.text.split("\n\n") == [
        "Abstract",
        "We study foxes.",
        "1 Introduction",
        (
            "The Fox is fast (Fox, 2001), at 12 km/h. It follows Dog and Cat (2003); "
            "see Table 1 and a = {1}/{2} α where α ≤ 3, as in Eq. (1)."
        ),
        "Or so.",
        "Table 1: Speeds",
        "Fox | 12 %",
        "Dog & cat",
        "Items",
        "One",
        "Two",
        "A More",
        "Naïve — “quoted” Straße.",
        "x_1 = {a}",
    ]
    titles = [section.title for section in document.sections]
    assert titles == ["Abstract", "1 Introduction", "Items", "A More"]


def test_a_source_says_what_it_is(tmp_path: Path) -> None:
    document = read(write(tmp_path, "a.tex", PAPER))
    assert document.title == "Of Foxes and Dogs"
    assert document.authors == ("Ann Fox", "Bob B. Dog", "Cy van der Cat")
    assert document.year == 2019
    assert [reference.title for reference in document.references] == ["Of dogs", "Of foxes"]
    assert document.references[1].authors == ("Bob Dog", "Cy Cat")


def test_an_archive_is_read_with_its_inputs_and_its_bbl(tmp_path: Path) -> None:
    files = {
        "paper/main.tex": r"\documentclass{a}\begin{document}One \cite{x}. \input{sections/two}"
        r"\bibliography{refs}\end{document}",
        "paper/sections/two.tex": "Two.",
        "paper/other.tex": "Not read.",
        "paper/main.bbl": r"\begin{thebibliography}{1}\bibitem{x} A. Hen. Farm. Barn, 1999."
        r"\end{thebibliography}",
    }
    document = read(write(tmp_path, "1911.02782v2.tar.gz", tarred(files)))
    assert document.text == "One [1]. Two."
    assert [reference.title for reference in document.references] == ["Farm"]
    assert document.identifiers == {"arxiv": "1911.02782"}
    assert (document.version, document.year) == ("v2", 2019)


def test_inputs_beside_a_file_are_read_and_none_outside_its_folder(tmp_path: Path) -> None:
    inner = tmp_path / "paper"
    inner.mkdir()
    write(tmp_path, "secret.tex", "secret")
    write(inner, "part.tex", "Part.")
    (inner / "link.tex").symlink_to(tmp_path / "secret.tex")
    main = r"\documentclass{a}\begin{document}Main. \input{part} \input{../secret}\input{link}"
    document = read(
        write(inner, "main.tex", main + rf"\input{{{tmp_path}/secret}}\end{{document}}")
    )
    assert document.text == "Main. Part."


def test_inputs_that_name_one_another_end(tmp_path: Path) -> None:
    files = {"main.tex": r"\documentclass{a}\begin{document}a\input{b}\end{document}",
             "b.tex": r"b\input{main}\input{b}"}  # fmt: skip
    assert read(write(tmp_path, "a.tgz", tarred(files))).text == "ab"


def test_definitions_that_feed_on_one_another_end(tmp_path: Path) -> None:
    names = "abcdefghijklmnop"
    source = "".join(
        "\\newcommand{\\" + two + "}{" + ("\\" + one + " ") * 10 + "}"
        for one, two in pairwise(names)
    )  # fmt: skip
    document = body(tmp_path, rf"\newcommand{{\a}}{{{'x' * 1_000}}}{source}Words. \p")
    assert len(document.text) < 2**23


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tex", "Just a part.", r"is a part of a LaTeX document; name the file"),
        ("a.tex", r"\begin{document}\section{Only}\end{document}", "no text below its headings"),
        ("a.tex", r"\begin{document}x" + r"\'{" * 500 + r"\end{document}", "never close"),
        ("a.tgz", tarred({"a.tex": PAPER})[:100], "damaged archive; download"),
        ("a.gz", gzip.compress(bytes(20 * 2**20)), "more than a paper's source"),
        ("a.zip", b"PK\x03\x04 cut", "damaged archive"),
        ("a.tgz", tarred({"a.txt": "x"}), "holds no LaTeX document"),
    ],
    ids=["part", "headings", "open", "cut", "bomb", "cut zip", "nothing"],
)
def test_sources_that_cannot_be_used_are_refused(
    tmp_path: Path, name: str, data: str | bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read(write(tmp_path, name, data))


def test_an_archive_of_huge_pictures_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scholar.readers.bundle._MOST_UNPACKED", 2**16)
    packed = tarred({"a.png": "0" * 2**18, "main.tex": PAPER})
    with pytest.raises(SourceError, match="more than a paper's source"):
        read(write(tmp_path, "a.tgz", packed))


def test_a_zip_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.tex", b"a" * (20 * 2**20))
    with pytest.raises(SourceError, match="more than a paper's source"):
        read(write(tmp_path, "a.zip", packed.getvalue()))


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"Guti\'errez, M\"uller, \c{C}elik, \v Skoda, \O, na\"{\i}ve",
         "Gutiérrez, Müller, Çelik, Škoda, Ø, naïve"),
        (r"a -- b --- c ``d'' e~f", "a – b — c “d” e f"),
        (r"\textbf{bold \emph{and} more} 5\% \& \$3 \_ \{x\}", "bold and more 5% & $3 _ {x}"),
        (r"\href{http://a.b}{words} \url{http://c.d}", "words http://c.d"),
        (r"$x^2 \leq \frac{a}{b}$ \unknown{kept} \unknown[opt]{kept}", "x^2 ≤ {a}/{b} kept kept"),
        (r"\textcolor{red}{red} \LaTeX{} source", "red LaTeX source"),
    ],
)  # fmt: skip
def test_commands_of_a_line_become_what_they_show(tex: str, text: str) -> None:
    assert plain(tex) == text


def test_long_runs_of_spaces_and_cites_take_no_long_time(tmp_path: Path) -> None:
    text = body(tmp_path, " " * 300_000 + "~" * 300_000 + r"\cite{a}" * 3_000 + "Words.").text
    assert text == "Words."


@given(
    start=st.integers(0, len(PAPER)),
    length=st.integers(0, 60),
    put=st.sampled_from(
        ["", "{", "}", "\\", "$", "\\begin{table}", "\\end{table}", "[", "%", "\\cite"]
    ),
)
def test_a_damaged_source_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, put: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    try:
        document = read(write(folder, "a.tex", PAPER[:start] + put + PAPER[start + length :]))
    except SourceError:
        return
    assert document.text.strip() == document.text
    assert all(document.text.split("\n\n"))
