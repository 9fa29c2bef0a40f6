"""A codec server for Temporal's UI: whoever is signed in to the console reads there what is encrypted."""

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response
from yarl import URL

from api.container import Container
from api.dependencies import ContainerDep
from api.http.middleware import READS_ONLY
from api.http.problems import problem
from console.access import ConsoleParts, PartsDep, SignInRequiredError, signed_in
from domain.errors import ErrorCode, Refusal

router = APIRouter(prefix="/payloads")

UNKNOWN_ORIGIN = "Only the Temporal UI of GROUPBUY_TEMPORAL_UI_URL may ask this."


@router.options("/{direction}")
async def preflight(request: Request, container: ContainerDep, direction: Literal["encode", "decode"]) -> Response:  # noqa: ARG001
    origin = _origin(request, container)
    allowed = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "content-type, x-namespace, authorization, authorization-extras",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=_shared_with(origin) | allowed) if origin else _refused(UNKNOWN_ORIGIN)


@router.post("/{direction}")
async def convert(
    request: Request, container: ContainerDep, parts: PartsDep, direction: Literal["encode", "decode"]
) -> Response:
    request.scope[READS_ONLY] = True
    # A browser says which page asks. The cookie alone would let any page of this site ask.
    origin = _origin(request, container)
    if origin is None:
        return _refused(UNKNOWN_ORIGIN)
    answer = await _converted(request, container, parts, direction)
    answer.headers.update(_shared_with(origin))
    return answer


async def _converted(request: Request, container: Container, parts: ConsoleParts, direction: str) -> Response:
    try:
        await signed_in(request, container, parts)
        convert = container.payloads.encode if direction == "encode" else container.payloads.decode
        return Response(await convert(await request.body()), media_type="application/json")
    except SignInRequiredError:
        return problem(ErrorCode.UNAUTHORIZED, "Sign in to the console first, in this browser.")
    except Refusal as refusal:
        return problem(refusal.code, refusal.detail)


def _refused(detail: str) -> Response:
    return problem(ErrorCode.FORBIDDEN, detail)


def _origin(request: Request, container: Container) -> str | None:
    """Returns where the request comes from, if that is Temporal's UI."""
    ui, given = container.settings.temporal_ui_url, request.headers.get("origin")
    return given if ui is not None and given == str(URL(str(ui)).origin()) else None


def _shared_with(origin: str) -> dict[str, str]:
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
