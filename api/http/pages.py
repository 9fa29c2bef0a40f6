"""Pages for browsers: all that they load is in `api/assets`, and their policy lets them load nothing else."""

from pathlib import Path

from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


def policy(*, styles: str = "", workers: str = "", forms: str = "'none'") -> str:
    """Returns a Content-Security-Policy for our own files alone; the arguments allow something more."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' {styles}; img-src 'self' data:; connect-src 'self'; "
        f"worker-src 'self' {workers}; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
    )


class Assets(StaticFiles):
    """Browsers ask each time whether a file has changed, because its name stays the same."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def page(title: str, content: str, *, head: str = "", allowed: str | None = None) -> HTMLResponse:
    """Returns a page; `allowed` is another policy than the default. Links are relative: it also works below a proxy's path."""
    icon = '<link rel="icon" href="data:,">'
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} – groupbuy</title>{icon}{head}</head>'
        f"<body>{content}</body></html>",
        headers={"Content-Security-Policy": allowed or policy(), "Cache-Control": "no-cache"},
    )
