"""Audiences and the imports of their members."""

from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from api.openapi.declarations import refuses
from db.audiences.store import is_member, list_audiences, read_audience, save_audience
from domain.audience_upload import UploadFormat
from domain.errors import ErrorCode, Refusal
from domain.schemas.audiences import Audience, AudienceFields, AudienceImport, AudienceRule, Membership
from domain.types import Identifier

router = api_router("/v1/ops/audiences", tags=["operations"])

FORMATS = {
    "text/csv": UploadFormat.CSV,
    "application/jsonl": UploadFormat.JSON_LINES,
    "application/x-ndjson": UploadFormat.JSON_LINES,
}
EXAMPLES = {
    UploadFormat.CSV: "user_id,city\nbuyer-1,Hangzhou\nbuyer-2,Chengdu\n",
    UploadFormat.JSON_LINES: '{"user_id": "buyer-1"}\n{"user_id": "buyer-2"}\n',
}
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One user per line. CSV: one column, or a header that names `user_id`. "
        'JSON lines: `{"user_id": "…"}` or `"…"`.',
        "content": {content_type: {"schema": {}, "example": EXAMPLES[of]} for content_type, of in FORMATS.items()},
    }
}


@router.put("/{audience_id}")
async def put_audience(audience_id: Identifier, fields: AudienceFields, ops: OpsDep, container: ContainerDep) -> Audience:
    """Create an audience without members, or rename one."""
    await save_audience(container.database, audience_id, fields.name, by=ops, now=datetime.now(UTC))
    return container.links.fill(await read_audience(container.database, audience_id))


@router.get("")
async def get_audiences(_ops: OpsDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Audience]:
    """List audiences, newest first. Only a single audience shows the bad lines of its upload."""
    rows = await list_audiences(container.database, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda audience: (audience.created_at, audience.audience_id))


@router.get("/{audience_id}")
async def get_audience(audience_id: Identifier, _ops: OpsDep, container: ContainerDep) -> Audience:
    """Get an audience with the progress of its latest import."""
    return container.links.fill(await read_audience(container.database, audience_id))


@router.post("/{audience_id}/members", openapi_extra=UPLOAD | refuses(ErrorCode.AUDIENCE_CONFLICT))
async def post_members(audience_id: Identifier, request: Request, ops: OpsDep, container: ContainerDep) -> AudienceImport:
    """Replace the members by those of an upload, all at once when it is complete."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in FORMATS:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"Content-Type: send {', '.join(FORMATS)}.")
    chunks = request.stream()
    return container.links.fill(await container.audiences.upload(audience_id, FORMATS[content_type], chunks, by=ops))


@router.post("/{audience_id}/rule", status_code=202, openapi_extra=refuses(ErrorCode.AUDIENCE_CONFLICT))
async def post_rule(audience_id: Identifier, rule: AudienceRule, ops: OpsDep, container: ContainerDep) -> AudienceImport:
    """Replace the members by the users who fulfil a rule, all at once when its import is complete."""
    return container.links.fill(await container.audiences.import_by_rule(audience_id, rule, by=ops))


@router.get("/{audience_id}/members/{user_id}")
async def get_member(audience_id: Identifier, user_id: Identifier, _ops: OpsDep, container: ContainerDep) -> Membership:
    """Check whether a user is a member."""
    return Membership(member=await is_member(container.database, audience_id, user_id))
