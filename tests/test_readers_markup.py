from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scholar.errors import SourceError
from scholar.readers import Document, Section, read

ARXIV = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body>
<nav class="ltx_page_navbar"><ol class="ltx_toclist"><li>1 Introduction</li></ol></nav>
<div class="ltx_page_main"><div id="watermark-tr">arXiv:2502.14802v2 [cs.CL] 20 Jan 2026</div>
<article class="ltx_document"><h1 class="ltx_title ltx_title_document">Foxes and <em>Dogs</em></h1>
<div class="ltx_authors"><span class="ltx_creator ltx_role_author"><span class="ltx_personname">
Ann Fox<sup>1</sup></span><span class="ltx_author_notes">University</span></span>
<span class="ltx_creator ltx_role_author"><span class="ltx_personname">Bob Dog, Cy Cat<br
class="ltx_break">Dog Labs</span></span></div>
<div class="ltx_abstract"><h6 class="ltx_title ltx_title_abstract">Abstract</h6>
<p class="ltx_p">We study foxes.</p></div>
<section class="ltx_section"><h2 class="ltx_title ltx_title_section"><span class="ltx_tag">1
</span>Introduction</h2><div class="ltx_para"><p class="ltx_p">Foxes jump with <math
alttext="x^{2}"><semantics><msup><mi>x</mi><mn>2</mn></msup></semantics></math> speed
<cite class="ltx_cite">(<a class="ltx_ref">Fox, 2020</a>)</cite>.<span class="ltx_note
ltx_role_footnote"><sup class="ltx_note_mark">1</sup><span class="ltx_note_content">Or so.</span>
</span> And on.</p><table class="ltx_equation ltx_eqn_table"><tbody><tr><td></td><td><math
alttext="a=b"><mi>a</mi></math></td><td>(1)</td></tr></tbody></table>
<ul class="ltx_itemize"><li class="ltx_item"><span class="ltx_tag ltx_tag_item">•</span>
<p class="ltx_p">one item</p></li></ul></div>
<figure class="ltx_table"><figcaption>Table 1: Speeds</figcaption><table><tbody>
<tr><td>Fox</td><td>12</td></tr></tbody></table></figure></section>
<section class="ltx_bibliography"><h2 class="ltx_title_bibliography">References</h2>
<ul class="ltx_biblist"><li class="ltx_bibitem"><span class="ltx_tag ltx_tag_bibitem">Fox</span>
<span class="ltx_bibblock">Ann Fox. </span><span class="ltx_bibblock">Of foxes. </span>
<span class="ltx_bibblock"><em>Journal</em>, 2020. <a href="https://doi.org/10.1000/X1">link</a>
</span></li></ul></section>
<section class="ltx_appendix"><h2>Appendix A More</h2><p class="ltx_p">More text.</p></section>
</article></div><footer>Generated</footer><script>evil()</script></body></html>"""

JATS = """<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS.dtd"><article
xmlns:xlink="http://www.w3.org/1999/xlink"><front><journal-meta><journal-title-group>
<journal-title>Journal of Foxes</journal-title></journal-title-group></journal-meta><article-meta>
<article-id pub-id-type="pmid">1</article-id><article-id pub-id-type="doi">10.1000/ABC</article-id>
<title-group><article-title>Of <italic>Foxes</italic><xref ref-type="fn">*</xref></article-title>
</title-group><contrib-group><contrib contrib-type="author"><name><surname>Fox</surname>
<given-names>Ann</given-names></name></contrib><contrib contrib-type="editor"><name>
<surname>Dog</surname><given-names>Bob</given-names></name></contrib><contrib
contrib-type="author"><collab>The Wood Group</collab></contrib></contrib-group>
<pub-date pub-type="pmc-release"><year>2010</year></pub-date><pub-date pub-type="epub"><year>2017
</year></pub-date><pub-date pub-type="ppub"><year>2018</year></pub-date>
<abstract><p>We study.</p></abstract></article-meta></front><body><sec><label>1</label>
<title>Introduction</title><p>Foxes jump [<xref ref-type="bibr">1</xref>].<list><list-item><p>one
</p></list-item></list></p><sec><title>Deeper</title><p>More.&#160;Here.</p><table-wrap>
<label>Table 1.</label><caption><p>Speeds</p></caption><table><tr><th>Fox</th><td>12</td></tr>
</table></table-wrap><fig><label>Fig. 1.</label><caption><p>A fox.</p></caption></fig></sec></sec>
</body><back><ack><title>Thanks</title><p>To dogs.</p></ack><ref-list><title>References</title>
<ref><element-citation><person-group><name><surname>Cat</surname><given-names>C</given-names>
</name></person-group><article-title>Moods</article-title><source>J Mood</source><year>2004</year>
<pub-id pub-id-type="doi">10.1000/M</pub-id></element-citation></ref><ref><mixed-citation>
A. Hen. Farm life. Barn Press, 1999.</mixed-citation></ref></ref-list></back></article>"""

TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt>
<title level="a" type="main">Of Foxes</title></titleStmt><sourceDesc><biblStruct><analytic>
<author><persName><forename type="first">Ann</forename><forename type="middle">B</forename>
<surname>Fox</surname></persName><email>a@w.org</email></author></analytic><monogr>
<title>Journal of Foxes</title><imprint><date type="published" when="2017-03-01"/></imprint>
</monogr><idno type="DOI">10.1000/ABC</idno><idno type="arXiv">arXiv:1706.03762v5[cs.CL]</idno>
</biblStruct></sourceDesc></fileDesc><profileDesc><abstract><div><p>We study.</p></div></abstract>
</profileDesc></teiHeader><text><body><div><head n="1">Introduction</head><p>Foxes jump
<ref type="bibr">[1]</ref>.</p><formula>a = b<label>(1)</label></formula></div>
<figure type="table"><head>Table 1 :</head><label>1</label><figDesc>Speeds</figDesc><table><row>
<cell>Fox</cell><cell>12</cell></row></table></figure></body><back><div type="references">
<listBibl><biblStruct><analytic><title level="a">Moods</title><author><persName><forename>C
</forename><surname>Cat</surname></persName></author></analytic><monogr><title>J Mood</title>
<imprint><date when="2004"/></imprint></monogr><note type="raw_reference">C. Cat. Moods. 2004.
</note></biblStruct></listBibl></div></back></text></TEI>"""


def read_text(folder: Path, name: str, text: str | bytes) -> Document:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path)


def paragraphs(document: Document) -> list[str]:
    return document.text.split("\n\n")


# HTML


def test_a_page_of_arxiv_is_read_as_its_paper(tmp_path: Path) -> None:
    document = read_text(tmp_path, "a.html", ARXIV)
    assert paragraphs(document) == [
        "Abstract",
        "We study foxes.",
        "1 Introduction",
        "Foxes jump with x^{2} speed (Fox, 2020). (Or so. ) And on.",
        "a=b (1)",
        "one item",
        "Table 1: Speeds",
        "Fox | 12",
        "Appendix A More",
        "More text.",
    ]
    titles = [section.title for section in document.sections]
    assert titles == ["Abstract", "1 Introduction", "Appendix A More"]


def test_a_page_of_arxiv_says_what_it_is(tmp_path: Path) -> None:
    document = read_text(tmp_path, "a.html", ARXIV)
    assert document.title == "Foxes and Dogs"
    assert document.authors == ("Ann Fox", "Bob Dog", "Cy Cat")
    assert (document.year, document.version) == (2025, "v2")
    assert document.identifiers == {"arxiv": "2502.14802"}


def test_entries_of_a_pages_bibliography_are_references(tmp_path: Path) -> None:
    (reference,) = read_text(tmp_path, "a.html", ARXIV).references
    assert reference.title == "Of foxes"
    assert reference.authors == ("Ann Fox",)
    assert reference.year == 2020
    assert reference.identifiers == {"doi": "10.1000/x1"}


def test_any_article_is_read_by_its_meta_fields_and_headings(tmp_path: Path) -> None:
    page = """<html><head><meta name="citation_title" content="Of Foxes">
    <meta name="citation_author" content="Fox, Ann"><meta name="citation_author" content="Bob Dog">
    <meta name="citation_publication_date" content="2019/03/04">
    <meta name="citation_journal_title" content="Foxes"><meta name="citation_doi"
    content="10.1000/ABC"></head><body><header>Menu</header><article><h1>Of Foxes</h1>
    <p>One <b>two</b><br>three.</p><div>Four<p>five</p>six</div><h2>References</h2><ol>
    <li>A. Hen. Farm life. Barn, 1999.</li><li>C. Cat. Moods. Barn, 2004.</li></ol></article>
    <footer>Foot</footer></body></html>"""
    document = read_text(tmp_path, "a.htm", page)
    assert paragraphs(document) == ["Of Foxes", "One two three.", "Four", "five", "six"]
    assert document.title == "Of Foxes"
    assert document.authors == ("Ann Fox", "Bob Dog")
    assert (document.year, document.venue) == (2019, "Foxes")
    assert document.identifiers == {"doi": "10.1000/abc"}
    assert [reference.title for reference in document.references] == ["Farm life", "Moods"]


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_pages_are_read_in_the_encoding_they_name(tmp_path: Path, encoding: str) -> None:
    page = f'<meta charset="{encoding}"><body><p>Saldaña &amp; more</p></body>'.encode(encoding)
    assert read_text(tmp_path, "a.html", page).text == "Saldaña & more"


# JATS and TEI


def test_jats_is_read_as_its_paper(tmp_path: Path) -> None:
    document = read_text(tmp_path, "a.nxml", JATS)
    assert paragraphs(document) == [
        "Abstract",
        "We study.",
        "1 Introduction",
        "Foxes jump [1].",
        "one",
        "Deeper",
        "More. Here.",
        "Table 1. Speeds",
        "Fox | 12",
        "Fig. 1. A fox.",
        "Thanks",
        "To dogs.",
    ]
    assert document.sections[1] == Section(document.text.index("1 Intro"), "1 Introduction")
    assert document.title == "Of Foxes"
    assert document.authors == ("Ann Fox", "The Wood Group")
    assert (document.year, document.venue) == (2017, "Journal of Foxes")
    assert document.identifiers == {"doi": "10.1000/abc"}


def test_a_formula_in_several_forms_is_read_once(tmp_path: Path) -> None:
    tex = r"\documentclass{m}\begin{document}$$\alpha \le 2$$\end{document}"
    formula = f"<alternatives><tex-math>{tex}</tex-math><math>x</math></alternatives>"
    text = f"<article><body><p>So <inline-formula>{formula}</inline-formula>.</p></body></article>"
    assert read_text(tmp_path, "a.xml", text).text == "So α ≤ 2."


def test_references_of_jats_keep_their_fields(tmp_path: Path) -> None:
    one, two = read_text(tmp_path, "a.xml", JATS).references
    assert (one.title, one.authors, one.year) == ("Moods", ("C Cat",), 2004)
    assert one.identifiers == {"doi": "10.1000/m"}
    assert (two.title, two.authors, two.year) == ("Farm life", ("A. Hen",), 1999)


def test_tei_is_read_as_its_paper(tmp_path: Path) -> None:
    document = read_text(tmp_path, "a.tei.xml", TEI)
    assert paragraphs(document) == [
        "Abstract",
        "We study.",
        "1 Introduction",
        "Foxes jump [1].",
        "a = b(1)",
        "Table 1 : Speeds",
        "Fox | 12",
    ]
    assert (document.title, document.authors) == ("Of Foxes", ("Ann B Fox",))
    assert (document.year, document.venue) == (2017, "Journal of Foxes")
    assert document.identifiers == {"doi": "10.1000/abc", "arxiv": "1706.03762"}
    (reference,) = document.references
    assert reference.text == "C. Cat. Moods. 2004."
    assert (reference.title, reference.authors, reference.year) == ("Moods", ("C Cat",), 2004)


def test_xml_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"root 'svg', neither JATS nor TEI; convert"):
        read_text(tmp_path, "a.xml", "<svg/>")


# Broken and malicious

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xml", f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]><article>&a11;</article>', "XML"),
        ("a.xml", "<article><body><p>cut", "not well-formed XML at line 1"),
        ("a.xml", "<article>" + "<sec>" * 100_000, "not well-formed XML"),
        ("a.xml", b"<article><body><p>\xff\xfe</p></body></article>", "not well-formed XML"),
        ("a.xml", "<article><front/></article>", "no text of a paper"),
        ("a.html", "<html><body><nav>Menu</nav></body></html>", "no text of a paper"),
        ("a.html", "<div>" * 100_000 + "deep", "no text of a paper"),
        ("a.html", bytes(range(256)) * 9, "not text"),
        ("a.md", "*a **b " * 100_000, "little but marks"),
    ],
)
def test_markup_that_cannot_be_used_is_refused(
    tmp_path: Path, name: str, data: str | bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read_text(tmp_path, name, data)


def test_no_file_is_read_for_an_entity(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    entity = f'<!DOCTYPE article [<!ENTITY x SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    document = read_text(
        tmp_path, "a.xml", f"{entity}<article><body><p>Words &x; here.</p></body></article>"
    )
    assert document.text == "Words here."


def test_a_named_entity_of_an_unread_dtd_is_its_character(tmp_path: Path) -> None:
    kind = '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS.dtd">'
    text = f"{kind}<article><body><p>5&nbsp;&mu;m</p></body></article>"
    assert read_text(tmp_path, "a.xml", text).text == "5 μm"


def test_nested_articles_are_read_in_time_that_grows_with_their_length(tmp_path: Path) -> None:
    page = "<article>" * 200 + "<p>text</p>" * 2_000
    assert read_text(tmp_path, "a.html", page).text.startswith("text\n\ntext")


@given(
    name=st.sampled_from(["a.html", "a.xml", "a.tei"]),
    start=st.integers(0, 3_000),
    length=st.integers(0, 40),
    put=st.sampled_from(["", "<p>", "</p>", "<", "&", "]]>", "<!--", "<table><tr>", "\udcff", "é"]),
)
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: int, length: int, put: str
) -> None:
    whole = {"a.html": ARXIV, "a.xml": JATS, "a.tei": TEI}[name]
    text = whole[:start] + put + whole[start + length :]
    try:
        document = read_text(
            tmp_path_factory.getbasetemp(), name, text.encode("utf-8", "surrogateescape")
        )
    except SourceError:
        return
    assert document.text.strip() == document.text
    for section in document.sections:
        assert document.text[section.start :].split("\n\n")[0] == section.title
