"""Schemathesis sends whatever the OpenAPI document admits, and what it does not, to every operation."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, CheckContext, Response
from schemathesis.checks import CHECKS, load_all_checks

from dev.stack import Stack
from tests.contract.test_document import DOCUMENT

EXAMPLES = 10
"""requests per operation"""
MEANT = {"temporarily_unavailable", "group_buying_suspended"}

anything = schemathesis.openapi.from_dict(DOCUMENT)
load_all_checks()


@schemathesis.check
def only_meant_server_errors(ctx: CheckContext, response: Response, case: Case[Any]) -> None:  # noqa: ARG001
    assert response.status_code < 500 or response.json()["code"] in MEANT, response.text


CHECKS_OF_ANSWERS: list[Any] = [
    CHECKS.get_one(name)
    for name in (
        "only_meant_server_errors",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "ignored_auth",
    )
]

REJECTION = CHECKS.get_one("negative_data_rejection")


@anything.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case: Case[Any], stack: Stack) -> None:
    tags = case.operation.definition.raw["tags"]
    key = stack.addresses.mall_key if "mall" in tags else stack.addresses.ops_key
    # The original's format answers 200 to everything.
    checks = [check for check in CHECKS_OF_ANSWERS if "original" not in tags or check is not REJECTION]
    case.call_and_validate(base_url=stack.addresses.api_url, headers={"Authorization": f"Bearer {key}"}, checks=checks)
