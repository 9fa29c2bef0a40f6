"""Goods: names and original prices."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from console.access import FormDep, Operator, OperatorDep, ViewerDep
from console.forms import field_problems, form_fields, from_texts, to_texts
from console.problems import FieldProblem
from console.rendering import done, render
from db.campaigns.goods import list_goods, read_goods, save_goods
from domain.errors import ConfirmationRequired, ErrorCode, Refusal, Risk
from domain.schemas.goods import Goods
from domain.types import Identifier

router = APIRouter()

ROWS = 100


@router.get("/goods")
async def goods(request: Request, _viewer: ViewerDep, container: ContainerDep, after: Identifier | None = None) -> Response:
    rows = await list_goods(container.database, after, ROWS + 1)
    shown = rows[:ROWS]
    return render(request, "goods/list.html", goods=shown, after=shown[-1].goods_id if len(rows) > ROWS else None)


@router.get("/goods/new")
async def ask_new(request: Request, _operator: OperatorDep) -> Response:
    return _form(request, None, {})


@router.post("/goods/new")
async def create(request: Request, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    return await _save(request, None, operator, container, form)


@router.get("/goods/{goods_id}")
async def ask_edit(request: Request, goods_id: Identifier, _operator: OperatorDep, container: ContainerDep) -> Response:
    found = await read_goods(container.database, goods_id)
    if found is None:
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {goods_id}.")
    return _form(request, goods_id, to_texts(found))


@router.post("/goods/{goods_id}")
async def edit(
    request: Request, goods_id: Identifier, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    return await _save(request, goods_id, operator, container, form)


async def _save(
    request: Request, goods_id: str | None, operator: Operator, container: Container, form: dict[str, str]
) -> Response:
    texts = form | {"goods_id": goods_id} if goods_id else form
    try:
        wanted = Goods.model_validate(from_texts(Goods, texts))
        if goods_id is None and await read_goods(container.database, wanted.goods_id):
            return _form(request, None, texts, [FieldProblem("goods_id", f"There are goods {wanted.goods_id} already.")])
        confirmed = form.get("confirm") == "true"
        await save_goods(container.database, wanted, by=operator.author, now=datetime.now(UTC), confirmed=confirmed)
    except ValidationError as exc:
        return _form(request, goods_id, texts, field_problems(exc))
    except ConfirmationRequired as exc:
        return _form(request, goods_id, texts, risks=exc.risks)
    return done(request, "/goods")


def _form(
    request: Request,
    goods_id: str | None,
    texts: dict[str, str],
    errors: list[FieldProblem] | None = None,
    risks: tuple[Risk, ...] = (),
) -> Response:
    fields = form_fields(Goods, texts, errors or [], leave_out=["goods_id"] if goods_id else [])
    status = 409 if risks else 422 if errors else 200
    return render(request, "goods/form.html", status, goods_id=goods_id, fields=fields, risks=risks)
