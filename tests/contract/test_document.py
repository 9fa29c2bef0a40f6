"""The OpenAPI document says what the API does."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema_rs import validator_for

from api.app import create_app, create_legacy_app
from api.legacy.wire import LockRequest
from domain.errors import MEANINGS, ErrorCode
from domain.schemas.audiences import AudienceRule
from domain.schemas.campaigns import CampaignFields, NewCampaign
from domain.schemas.events import EventType
from domain.schemas.keys import NewKey
from domain.schemas.malls import MallFields
from domain.switches import Switches

METHODS = {"get", "put", "post", "patch", "delete"}
APP: FastAPI = create_app()
DOCUMENT, LEGACY_DOCUMENT = APP.openapi(), create_legacy_app().openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for document in (DOCUMENT, LEGACY_DOCUMENT)
    for path, item in document["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
WEBHOOKS = {name: item["post"] for name, item in DOCUMENT["webhooks"].items()}


def test_it_is_openapi_3_1_with_names_that_a_client_can_use() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    names = [operation["operationId"] for operation in [*OPERATIONS.values(), *WEBHOOKS.values()]]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+_[a-z_.]+", name) for name in names)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_names_its_errors_with_an_example_of_each(name: str) -> None:
    operation = OPERATIONS[name]
    told = {
        (code, int(status)): example["value"]
        for status, response in operation["responses"].items()
        for code, example in response.get("content", {}).get("application/problem+json", {}).get("examples", {}).items()
    }
    assert {code for code, _ in told} == set(operation["x-error-codes"])
    for (code, status), example in told.items():
        assert status == MEANINGS[ErrorCode(code)].status or (code == "invalid_request" and status in {413, 414})
        assert (example["code"], example["status"]) == (code, status)
        assert _errors_of(example, {"$ref": "#/components/schemas/Problem"}) == []


def test_every_code_is_some_operations() -> None:
    told = {code for operation in OPERATIONS.values() for code in operation["x-error-codes"]}
    assert {*ErrorCode} - told == {ErrorCode.METHOD_NOT_ALLOWED}


@pytest.mark.parametrize("name", [*OPERATIONS, *WEBHOOKS])
def test_every_body_has_an_example_that_its_schema_admits(name: str) -> None:
    operation = (OPERATIONS | WEBHOOKS)[name]
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        for kind, content in body.get("content", {}).items():
            assert "example" in content or "examples" in content
            if kind == "application/json":
                assert _errors_of(content["example"], content["schema"]) == [], content["example"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_reads_have_their_tag_and_calls_with_a_key_their_limit(name: str) -> None:
    responses = OPERATIONS[name]["responses"]
    is_read = name.startswith("GET /v1/")
    assert ("304" in responses) is is_read
    assert ("ETag" in responses.get("200", {}).get("headers", {})) is is_read
    headers = {
        name for status in responses if status[0] == "2" or status == "429" for name in responses[status].get("headers", {})
    }
    assert ({"RateLimit", "RateLimit-Policy"} <= headers) is ("security" in OPERATIONS[name])


def test_what_operators_copy_from_the_document_is_accepted() -> None:
    """JSON Schema takes 1.0 for an integer and knows of no audience that is not there: the API is stricter."""
    new = NewCampaign.model_validate(_request("POST /v1/ops/campaigns"))
    assert (new.audience, new.discount.audience) == (None, None)
    changes = _request("PATCH /v1/ops/campaigns/{campaign_id}")
    assert CampaignFields.model_validate(new.model_dump(exclude={"campaign_id"}) | changes).status == "paused"
    assert Switches.model_validate({"suspended": _request("PUT /v1/ops/switches/{name}")["value"]}).suspended
    MallFields.model_validate(_request("PUT /v1/ops/malls/{source}"))
    NewKey.model_validate(_request("POST /v1/ops/keys"))
    AudienceRule.model_validate(_request("POST /v1/ops/audiences/{audience_id}/rule"))
    LockRequest.model_validate(_request("POST /api/v1/gbm/trade/lock_market_pay_order"))


def test_a_change_of_a_campaign_lists_its_fields() -> None:
    schema = OPERATIONS["PATCH /v1/ops/campaigns/{campaign_id}"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(CampaignFields.model_fields)
    for changes, mistakes in (({"take_limit": 2, "stock": None}, 0), ({"take_limit": 0}, 1), ({"version": 2}, 1)):
        assert len(_errors_of(changes, schema)) == mistakes


def _request(name: str) -> Any:  # noqa: ANN401
    return OPERATIONS[name]["requestBody"]["content"]["application/json"]["example"]


def test_every_event_is_a_webhook() -> None:
    assert set(WEBHOOKS) == {*EventType}


def _errors_of(value: object, schema: Any) -> list[str]:  # noqa: ANN401
    components = {"schemas": LEGACY_DOCUMENT["components"]["schemas"] | DOCUMENT["components"]["schemas"]}
    whole = {**schema, "components": components}
    return [error.message for error in validator_for(whole, validate_formats=True).iter_errors(value)]
