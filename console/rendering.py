"""Renders templates: as a page, or as the part of one that htmx asked for."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.changed import value_in_words
from console.cookies import BASE, TOAST_COOKIE, drop_cookie, set_cookie
from console.languages import Language, in_words, language_of, read_texts
from console.refund_steps import refund_steps
from console.sentences import sentence_translator
from console.statistics_charts import chart_data
from domain.lifecycle import CancelReason, PaymentReason
from domain.types import rfc3339

TONES = {
    "good": "active completed settled reseated paid done delivered agreed holds",
    "busy": "forming locked refunding requested awaiting_mall pending running draining paused attention completed_with_refunds",
    "bad": "failed dead rejected vetoed expired abandoned revoked",
}
TONE_OF = {value: tone for tone, values in TONES.items() for value in values.split()}
REASONS = {*CancelReason, *PaymentReason}
"""why a refund was opened, where nobody gave a reason"""
TOAST_SECONDS = 30


@cache
def _environment(language: Language) -> Environment:
    """Returns the environment of a language, which caches its compiled templates."""
    texts = read_texts(language)

    def translate(text: str) -> str:
        return texts.get(text, text)

    environment = Environment(
        loader=PackageLoader("console"),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # the extension adds it
        translate, lambda one, many, n: translate(one if n == 1 else many), newstyle=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.globals |= {
        "base": BASE,
        "refund_steps": refund_steps,
        "language": language,
        "languages": list(Language),
    }
    environment.filters |= {
        "label": lambda value: translate(in_words(str(value))),
        "because": lambda reason: translate(in_words(reason)) if reason in REASONS else reason,
        "in_words": lambda text, field: value_in_words(text, field, translate),
        "told": sentence_translator(language, translate),
        "sentence": lambda text: text[:1].upper() + text[1:],
        "tone": lambda value: TONE_OF.get(str(value), "calm"),
        "money": _money,
        "moment": _moment,
        "duration": lambda seconds: _duration(seconds, translate),
        "left": lambda until: _left(until - datetime.now(UTC), translate),
        "query": _query,
        "chart_data": lambda chart, days: chart_data(chart, days, translate),
    }
    return environment


def _money(amount: Decimal) -> str:
    return f"¥{amount:,.2f}"


def _moment(at: datetime | str) -> Markup:
    """The time in UTC, which the script replaces by that of the viewer's zone. A text is that of JSON."""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        rfc3339(at), f"{at:%Y-%m-%d %H:%M:%S} UTC", f"{at:%Y-%m-%d %H:%M} UTC"
    )


UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def _duration(seconds: int, translate: Callable[[str], str]) -> str:
    parts = []
    for length, unit in UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {translate(unit)}")
    return " ".join(parts) or f"0 {translate('s')}"


def _left(left: timedelta, translate: Callable[[str], str]) -> str:
    """As the script writes it every second (static/console.js)."""
    if left <= timedelta():
        return translate("over")
    minutes, seconds = divmod(left.seconds, 60)
    days = f"{left.days} {translate('d')} " if left.days else ""
    return f"{days}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _query(values: dict[str, Any], **changes: Any) -> str:  # noqa: ANN401 - what a query may hold
    return urlencode({name: value for name, value in (values | changes).items() if value not in (None, "")})


def is_partial(request: Request) -> bool:
    """Whether the script asked for a part of a page."""
    return request.headers.get("hx-request") == "true"


def render(request: Request, template: str, http_status: int = 200, /, **values: object) -> HTMLResponse:
    """Returns a template as a page. Where the script asked for it, only its content, without what surrounds every page."""
    environment = _environment(language_of(request))
    context = {
        "layout": "part.html" if is_partial(request) else "page.html",
        "operator": getattr(request.state, "operator", None),
        "path": request.url.path,
        "query": dict(request.query_params),
        "toast": None if is_partial(request) else _take_toast(request),
        **values,
    }
    return HTMLResponse(environment.get_template(template).render(context), http_status)


def go_to(request: Request, path: str) -> Response:
    """Sends the browser to another page of the console."""
    if is_partial(request):
        return Response(status_code=204, headers={"HX-Redirect": BASE + path})
    return RedirectResponse(BASE + path, status_code=303)


def done(request: Request, path: str, *, changed: bool = True, detail: str = "") -> Response:
    """Answers a form: the next page says what came of it."""
    toast = {"changed": changed, "detail": detail}
    set_cookie(request, TOAST_COOKIE, request.app.state.console.signer.sign("toast", toast), max_age=TOAST_SECONDS)
    return go_to(request, path)


def _take_toast(request: Request) -> dict[str, Any] | None:
    toast: dict[str, Any] | None = request.app.state.console.signer.read("toast", request.cookies.get(TOAST_COOKIE))
    if toast is not None:
        drop_cookie(request, TOAST_COOKIE)
    return toast
