"""Goods: names and original prices."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from console.access import FormDep, Operator, OperatorDep, ViewerDep
from console.changed import Changed, changed_since
from console.filters import GoodsFilters
from console.forms import field_problems, form_act, form_fields, from_texts, new_act_id, to_texts
from console.problems import FieldProblem
from console.rendering import done, render
from db.campaigns.goods import list_goods, read_goods, save_goods
from db.settings.audit import ChangedSinceError, latest_change
from domain.errors import ConfirmationRequired, ErrorCode, Refusal, Risk
from domain.schemas.goods import Goods
from domain.types import Identifier

router = APIRouter()

ROWS = 100


@router.get("/goods")
async def goods(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: GoodsFilters, after: Identifier | None = None
) -> Response:
    rows = await list_goods(container.database, filters, after, ROWS + 1)
    shown = rows[:ROWS]
    return render(request, "goods/list.html", goods=shown, after=shown[-1].goods_id if len(rows) > ROWS else None)


@router.get("/goods/new")
async def ask_new(request: Request, _operator: OperatorDep) -> Response:
    return _form(request, None, {}, seen=0)


@router.post("/goods/new")
async def create(request: Request, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    return await _save(request, None, operator, container, form)


@router.get("/goods/{goods_id}")
async def ask_edit(request: Request, goods_id: Identifier, _operator: OperatorDep, container: ContainerDep) -> Response:
    seen = await latest_change(container.database, f"goods/{goods_id}")
    found = await read_goods(container.database, goods_id)
    if found is None:
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {goods_id}.")
    return _form(request, goods_id, to_texts(found), seen=seen)


@router.post("/goods/{goods_id}")
async def edit(
    request: Request, goods_id: Identifier, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    return await _save(request, goods_id, operator, container, form)


async def _save(
    request: Request, goods_id: str | None, operator: Operator, container: Container, form: dict[str, str]
) -> Response:
    texts = form | {"goods_id": goods_id} if goods_id else form
    act, confirmed = form_act(form), form.get("confirm") == "true"
    try:
        wanted = Goods.model_validate(from_texts(Goods, texts))
        await save_goods(container.database, wanted, by=operator.author, now=datetime.now(UTC), confirmed=confirmed, form=act)
    except ValidationError as exc:
        return _form(request, goods_id, texts, field_problems(exc), seen=act.seen)
    except ConfirmationRequired as exc:
        return _form(request, goods_id, texts, risks=exc.risks, seen=act.seen)
    except ChangedSinceError as exc:
        if goods_id is None:
            taken = [FieldProblem("goods_id", f"There are goods {wanted.goods_id} already.")]
            return _form(request, None, texts, taken, seen=0)
        return _form(request, goods_id, texts, changed=changed_since(exc), seen=exc.latest.change_no)
    return done(request, "/goods")


def _form(
    request: Request,
    goods_id: str | None,
    texts: dict[str, str],
    errors: list[FieldProblem] | None = None,
    risks: tuple[Risk, ...] = (),
    *,
    changed: Changed | None = None,
    seen: int,
) -> Response:
    return render(
        request,
        "goods/form.html",
        409 if risks or changed else 422 if errors else 200,
        goods_id=goods_id,
        fields=form_fields(Goods, texts, errors or [], leave_out=["goods_id"] if goods_id else []),
        risks=risks,
        changed=changed,
        seen=seen,
        act_id=new_act_id(),
    )
