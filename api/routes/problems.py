"""What the `type` of an error leads to: a page for people, JSON for programs."""

from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.openapi.document import refuses
from domain.errors import MEANINGS, ErrorCode, Refusal
from domain.types import Schema

routes = APIRouter(tags=["service"])


class Explanation(Schema):
    code: str
    title: str
    status: int
    retryable: bool
    advice: str
    """what to do"""


class Explanations(Schema):
    data: list[Explanation]


@routes.get("/problems", response_model=Explanations)
async def get_problems(request: Request) -> Response | Explanations:
    """Every code."""
    found = [_explanation(code) for code in ErrorCode]
    if not _wants_page(request):
        return Explanations(data=found)
    rows = "".join(
        f'<tr><td><a href="problems/{e.code}">{e.code}</a></td><td>{e.status}</td><td>{escape(e.title)}</td></tr>'
        for e in found
    )
    return _page("Problems", f"<table><tr><th>code</th><th>status</th><th>what it means</th></tr>{rows}</table>")


@routes.get("/problems/{code}", response_model=Explanation, openapi_extra=refuses(ErrorCode.NOT_FOUND))
async def get_problem(code: str, request: Request) -> Response | Explanation:
    """What an error's `type` leads to: what it means, and what to do."""
    if code not in set(ErrorCode):
        raise Refusal(ErrorCode.NOT_FOUND, "There is no such problem.")
    found = _explanation(ErrorCode(code))
    if not _wants_page(request):
        return found
    again = "The same request may succeed later." if found.retryable else "The same request gets the same answer."
    return _page(
        found.code,
        f"<p>Status {found.status}. <b>{escape(found.title)}.</b></p><p>{escape(found.advice)}</p><p>{again}</p>"
        '<p><a href="../problems">All problems</a></p>',
    )


def _explanation(code: ErrorCode) -> Explanation:
    meaning = MEANINGS[code]
    return Explanation(
        code=code, title=meaning.title, status=meaning.status, retryable=meaning.retryable, advice=meaning.remedy
    )


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _page(title: str, content: str) -> HTMLResponse:
    style = "body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto}td,th{text-align:left;padding:.2rem 1rem .2rem 0}"
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} – groupbuy</title><style>{style}</style>'
        f"<h1>{title}</h1>{content}</html>"
    )
