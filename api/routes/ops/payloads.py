"""A codec server for Temporal's CLI, in the form that Temporal prescribes. Its UI has one in the console."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from api.dependencies import ContainerDep, ReadingOpsDep
from api.http.middleware import READS_ONLY
from api.http.routing import api_router

router = api_router("/v1/ops/payloads", include_in_schema=False)

JSON = "application/json"
Storage = Annotated[str, Query(alias="preserveStorageRefs")]
"""about payloads that are kept elsewhere, which there are none of"""


@router.post("/encode")
async def encode(request: Request, _ops: ReadingOpsDep, container: ContainerDep, _storage: Storage = "") -> Response:
    request.scope[READS_ONLY] = True
    return Response(await container.payloads.encode(await request.body()), media_type=JSON)


@router.post("/decode")
async def decode(request: Request, _ops: ReadingOpsDep, container: ContainerDep, _storage: Storage = "") -> Response:
    request.scope[READS_ONLY] = True
    return Response(await container.payloads.decode(await request.body()), media_type=JSON)
