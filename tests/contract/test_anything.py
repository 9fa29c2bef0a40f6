"""Schemathesis sends whatever the OpenAPI document admits, and what it does not, to every operation."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, CheckContext, Response, SerializationContext
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection

from embedded.stack import Stack
from tests.contract.test_document import DOCUMENT, LEGACY_DOCUMENT

EXAMPLES = 10
"""requests per operation"""
TOO_LARGE = 413
MEANT = {"temporarily_unavailable", "group_buying_suspended"}

anything, anything_legacy = schemathesis.openapi.from_dict(DOCUMENT), schemathesis.openapi.from_dict(LEGACY_DOCUMENT)
load_all_checks()


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def as_it_is(ctx: SerializationContext, value: Any) -> bytes:  # noqa: ANN401, ARG001
    """Nothing that a line could be is left out by making it JSON first."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.check
def only_meant_server_errors(ctx: CheckContext, response: Response, case: Case[Any]) -> None:  # noqa: ARG001
    assert response.status_code < 500 or response.json()["code"] in MEANT, response.text


@schemathesis.check
def bad_bodies_are_refused(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Only of bodies: a query and a path are text, and what is meant to be wrong there may be right as text."""
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    if body is not None and body.mode.is_negative and response.status_code != TOO_LARGE:
        negative_data_rejection(ctx, response, case)


CHECKS_OF_ANSWERS: list[Any] = [
    CHECKS.get_one(name)
    for name in (
        "only_meant_server_errors",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "missing_required_header",
        "unsupported_method",
        "ignored_auth",
    )
]

REFUSALS: list[Any] = [CHECKS.get_one("bad_bodies_are_refused")]
LIMITS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@anything.parametrize()
@LIMITS
def test_every_answer_is_as_the_document_says(case: Case[Any], stack: Stack) -> None:
    is_malls = "mall" in case.operation.definition.raw["tags"]
    key = stack.addresses.mall_key if is_malls else stack.addresses.ops_key
    headers = {"Authorization": f"Bearer {key}"}
    case.call_and_validate(base_url=stack.addresses.api_url, headers=headers, checks=CHECKS_OF_ANSWERS + REFUSALS)


@anything_legacy.parametrize()
@LIMITS
def test_every_legacy_answer_is_as_its_document_says(case: Case[Any], stack: Stack) -> None:
    """It says no in a 200."""
    case.call_and_validate(base_url=stack.addresses.legacy_url, checks=CHECKS_OF_ANSWERS)
