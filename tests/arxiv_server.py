"""An arXiv on a loopback port that has a paper for every id."""

from __future__ import annotations

from typing import Any

from served import Served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scholar.settings import load

ABSTRACT = "Rovers walk far on Mars, and graph walks gain 9.4 points there."
PAGE = f"""<!DOCTYPE html><html><head><title>Rovers</title></head><body>
<article class="ltx_document"><h1 class="ltx_title ltx_title_document">Rovers on Graphs</h1>
<section class="ltx_section"><h2 class="ltx_title">1 Introduction</h2>
<p class="ltx_p">On multi-hop questions rovers rank passages by 12 graph walks each. {ABSTRACT}</p>
</section></article></body></html>"""
ENTRY = """<entry><id>http://arxiv.org/abs/{id}v1</id><title>Rovers on Graphs {id}</title>
<summary>{abstract}</summary><published>2024-01-02T00:00:00Z</published>
<updated>2024-01-02T00:00:00Z</updated><author><name>Red Rover</name></author>
<link href="http://arxiv.org/abs/{id}v1" rel="alternate" type="text/html"/>
<arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="cs.CL"/>
<category term="cs.CL"/></entry>"""
FEED = """<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"
xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"><title>q</title><id>q</id>
<opensearch:totalResults>{n}</opensearch:totalResults>{entries}</feed>"""


class Arxiv(Served):
    """arXiv on a loopback port: whatever is asked for by a plain id is there."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer)])

    @property
    def changes(self) -> dict[str, Any]:
        """Settings by which this is arXiv, and there is nothing else."""
        places = {"api": f"{self.url}/api", "pdf": f"{self.url}/pdf", "html": f"{self.url}/html"}
        known = load(arxiv={**places, "delay": 0})
        nowhere = {"update": {"api": f"{self.url}/other"}}
        others = ("openalex", "semanticscholar", "crossref", "unpaywall")
        rest = {name: getattr(known, name).model_copy(**nowhere) for name in others}
        return {"offline": False, "arxiv": known.arxiv, **rest}

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(f"{path}?{request.url.query}".rstrip("?"))
        if path == "/api":
            wanted = request.query_params.get("id_list", "")
            ids = wanted.split(",") if wanted else ["2402.00001"]
            entries = "".join(ENTRY.format(id=id, abstract=ABSTRACT) for id in ids)
            body = FEED.format(n=len(ids), entries=entries)
            return Response(body, media_type="application/atom+xml")
        if path.startswith("/html/"):
            name = path.rpartition("/")[2]
            return Response(PAGE.replace("on Graphs", f"on Graphs {name}"), media_type="text/html")
        return Response("{}", 404, media_type="application/json")
