"""The pages that the `type` of an error refers to: HTML for browsers, JSON otherwise."""

from html import escape

from fastapi import Request, Response

from api.http.pages import page
from api.http.routing import api_router
from api.openapi.declarations import refuses
from domain.errors import MEANINGS, ErrorCode, Refusal
from domain.types import Schema

router = api_router(tags=["service"])

STYLE = '<link rel="stylesheet" href="{root}assets/pages.css">'


class Explanation(Schema):
    code: str
    title: str
    status: int
    retryable: bool
    advice: str
    """what to do"""


class Explanations(Schema):
    data: list[Explanation]


@router.get("/problems", response_model=Explanations)
async def get_problems(request: Request) -> Response | Explanations:
    """List every error code."""
    found = [_explanation(code) for code in ErrorCode]
    if not _wants_page(request):
        return Explanations(data=found)
    rows = "".join(
        f'<tr><td><a href="problems/{e.code}">{e.code}</a></td><td>{e.status}</td><td>{escape(e.title)}</td></tr>'
        for e in found
    )
    table = f"<table><tr><th>code</th><th>status</th><th>what it means</th></tr>{rows}</table>"
    return page("Problems", f"<h1>Problems</h1>{table}", head=STYLE.format(root=""))


@router.get("/problems/{code}", response_model=Explanation, openapi_extra=refuses(ErrorCode.NOT_FOUND))
async def get_problem(code: str, request: Request) -> Response | Explanation:
    """Get the meaning of an error code, and what to do about it."""
    if code not in set(ErrorCode):
        raise Refusal(ErrorCode.NOT_FOUND, "There is no such error code.")
    found = _explanation(ErrorCode(code))
    if not _wants_page(request):
        return found
    retry = "The same request may succeed later." if found.retryable else "The same request gets the same answer."
    return page(
        found.code,
        f"<h1>{found.code}</h1><p>Status {found.status}. <b>{escape(found.title)}.</b></p>"
        f'<p>{escape(found.advice)}</p><p>{retry}</p><p><a href="../problems">All problems</a></p>',
        head=STYLE.format(root="../"),
    )


def _explanation(code: ErrorCode) -> Explanation:
    meaning = MEANINGS[code]
    return Explanation(
        code=code, title=meaning.title, status=meaning.status, retryable=meaning.retryable, advice=meaning.remedy
    )


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
