"""What waits for an operator, and how it is settled."""

from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.pagination import Cursor, page, position
from console.access import FormDep, OperatorDep, ViewerDep
from console.forms import FormError, ReasonedAct, new_act_id, validated
from console.lists import OF_EACH_KIND, ROWS, version
from console.problems import FieldProblem
from console.rendering import done, render
from db.attention import group_attention, list_attention, resolve
from domain.messages.acts import Act
from domain.schemas.attention import AttentionKind, Resolvable
from domain.types import Identifier

router = APIRouter()


@router.get("/attention")
async def attention(
    request: Request,
    _viewer: ViewerDep,
    container: ContainerDep,
    kind: AttentionKind | None = None,
    cursor: Cursor = None,
) -> Response:
    """Of every kind the oldest, or all of one kind."""
    if kind is None:
        groups = await group_attention(container.database, OF_EACH_KIND + 1)
        return render(
            request,
            "attention/list.html",
            groups=[replace(group, oldest=container.links.fill_all(group.oldest)) for group in groups],
            each=OF_EACH_KIND,
            resolvable=list(Resolvable),
            version=version(groups),
        )
    rows = await list_attention(container.database, position(cursor), ROWS + 1, kind, oldest_first=True)
    found = page(rows, ROWS, lambda item: (item.since, f"{item.kind}/{item.subject}"))
    return render(
        request,
        "attention/kind.html",
        kind=kind,
        items=container.links.fill_all(found.data),
        next_cursor=found.next_cursor,
        resolvable=list(Resolvable),
        version=version(rows),
    )


@router.get("/attention/{kind}/{subject}/resolve")
async def ask(request: Request, kind: Resolvable, subject: Identifier, _operator: OperatorDep) -> Response:
    return _ask(request, kind, subject, {})


@router.post("/attention/{kind}/{subject}/resolve")
async def settle(
    request: Request, kind: Resolvable, subject: Identifier, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    try:
        fields = validated(ReasonedAct, form)
    except FormError as error:
        return _ask(request, kind, subject, form, error.errors)
    act = Act(id=fields.act_id, author=operator.author, reason=fields.reason)
    outcome = await resolve(container.database, kind, subject, act, datetime.now(UTC))
    return done(request, "/attention", changed=outcome.changed, detail=outcome.detail)


def _ask(
    request: Request, kind: Resolvable, subject: str, form: dict[str, str], errors: list[FieldProblem] | None = None
) -> Response:
    values = {"kind": kind, "subject": subject, "form": form, "errors": errors or [], "act_id": new_act_id()}
    return render(request, "attention/resolve.html", 422 if errors else 200, **values)
