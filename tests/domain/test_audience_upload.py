"""Uploads of user ids: what a line names, what is wrong with a bad one, and that the pieces make no difference."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.audience_upload import LINE_LIMIT, MAX_REPORTED, UploadFormat, UploadParser
from domain.schemas.audiences import AudienceRule
from domain.types import Identifier

CSV, JSON_LINES = UploadFormat.CSV, UploadFormat.JSON_LINES
LETTERS = string.ascii_letters + string.digits
USER_IDS = st.builds(str.__add__, st.sampled_from(LETTERS), st.text(LETTERS + "._:@-", max_size=63))
NAMES_NOBODY = 'names no user: {"user_id": "…"} or a JSON string does'


def parse(upload_format: UploadFormat, body: bytes, *cuts: int) -> tuple[list[str], UploadParser]:
    """Parses a body in pieces that are cut at these positions."""
    upload, found = UploadParser(upload_format), []
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        found += upload.feed(body[begin:end])
    return found + upload.finish(), upload


@pytest.mark.parametrize(
    ("upload_format", "body"),
    [
        (CSV, b"u1\nu2\n"),
        (CSV, b"u1\r\nu2"),
        (CSV, b"\xef\xbb\xbfu1\nu2\n"),
        (CSV, b"\xef\xbb\xbfuser_id\r\nu1\r\nu2\r\n"),
        (CSV, b'"User_ID"\n"u1"\n"u2"\n'),
        (CSV, b'name,user_id,since\nAnn,u1,2024\n"Bob, jr.", u2 \n'),
        (CSV, b"\n\n u1 \n\nu2\n\n"),
        (JSON_LINES, b'"u1"\n"u2"\n'),
        (JSON_LINES, b'\xef\xbb\xbf{"user_id": "u1"}\r\n\r\n{"user_id": "u2", "name": null}'),
    ],
)
def test_user_ids_are_parsed(upload_format: UploadFormat, body: bytes) -> None:
    found, upload = parse(upload_format, body)

    assert (found, upload.accepted, upload.bad, upload.report) == (["u1", "u2"], 2, 0, [])


@pytest.mark.parametrize(
    ("upload_format", "line", "reason"),
    [
        (CSV, b"a b", "'a b' is no user id: up to 64 letters, digits and . _ : @ -"),
        (CSV, b"u1;u2", "'u1;u2' is no user id: up to 64 letters, digits and . _ : @ -"),
        (CSV, b"x" * 65, f"'{'x' * 40}' is no user id: up to 64 letters, digits and . _ : @ -"),
        (CSV, "团\0".encode(), "'团\\x00' is no user id: up to 64 letters, digits and . _ : @ -"),
        (CSV, b"u1,u2", "2 columns, and no header that names user_id"),
        (CSV, b'"u1', "not CSV: its quotes do not match"),
        (CSV, b"\xff\xfe", "not UTF-8"),
        (CSV, b"x" * (LINE_LIMIT + 1), f"longer than {LINE_LIMIT} bytes"),
        (CSV, b"x" * (20 * LINE_LIMIT), f"longer than {LINE_LIMIT} bytes"),
        (JSON_LINES, b"u1", "not JSON"),
        (JSON_LINES, b'{"user_id": "u1"', "not JSON"),
        (JSON_LINES, b"[" * LINE_LIMIT, "not JSON"),
        (JSON_LINES, b"7", NAMES_NOBODY),
        (JSON_LINES, b'["u1"]', NAMES_NOBODY),
        (JSON_LINES, b'{"user_id": 7}', NAMES_NOBODY),
        (JSON_LINES, b'{"user": "u1"}', NAMES_NOBODY),
        (JSON_LINES, b'"\\ud800"', "'\\ud800' is no user id: up to 64 letters, digits and . _ : @ -"),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_the_others_are_accepted(
    upload_format: UploadFormat, line: bytes, reason: str
) -> None:
    good = (b"u1", b"u2") if upload_format is CSV else (b'"u1"', b'"u2"')

    found, upload = parse(upload_format, b"\n".join([good[0], b"", line, good[1]]))

    assert found == ["u1", "u2"]
    assert (upload.seen, upload.accepted, upload.bad) == (4, 2, 1)
    assert [(bad.line, bad.reason) for bad in upload.report] == [(3, reason)]


def test_a_row_without_the_column_is_bad() -> None:
    found, upload = parse(CSV, b"name,user_id\nAnn\nBob,u2\nuser_id,user_id\n")

    assert found == ["u2", "user_id"]
    assert [(bad.line, bad.reason) for bad in upload.report] == [(2, "no column user_id")]


def test_the_first_bad_lines_are_reported_and_all_are_counted() -> None:
    _, upload = parse(CSV, b"a b\n" * (MAX_REPORTED + 50))

    assert upload.bad == MAX_REPORTED + 50
    assert [bad.line for bad in upload.report] == list(range(1, MAX_REPORTED + 1))


@given(user_ids=st.lists(USER_IDS, min_size=1, max_size=20), upload_format=st.sampled_from(UploadFormat), end=st.booleans())
def test_every_valid_user_id_is_accepted(user_ids: list[str], upload_format: UploadFormat, end: bool) -> None:
    lines = user_ids if upload_format is CSV else [json.dumps({"user_id": user_id}) for user_id in user_ids]
    if upload_format is CSV:
        lines = ["user_id", *lines]

    found, upload = parse(upload_format, ("\n".join(lines) + "\n" * end).encode())

    assert (found, upload.bad) == (user_ids, 0)


LINES = st.sampled_from(
    [b"u1", b'"u2"', b'{"user_id": "u3"}', b"", b"a b", b"user_id", b"\xff", b"x" * (LINE_LIMIT + 7), b"a,b"]
)


@given(st.data())
def test_the_pieces_of_an_upload_make_no_difference(data: st.DataObject) -> None:
    lines = data.draw(st.lists(LINES, max_size=8))
    body = b"\xef\xbb\xbf" * data.draw(st.booleans()) + data.draw(st.sampled_from([b"\n", b"\r\n"])).join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=10)))
    upload_format = data.draw(st.sampled_from(UploadFormat))

    whole, pieces = parse(upload_format, body), parse(upload_format, body, *cuts)

    assert whole[0] == pieces[0]
    assert {**vars(whole[1]), "_parse_line": None} == {**vars(pieces[1]), "_parse_line": None}
    assert all(TypeAdapter(Identifier).validate_python(user_id) == user_id for user_id in whole[0])


PERIOD = {"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}


@pytest.mark.parametrize("fields", [{"min_orders": 1}, {"min_amount": "0.01"}, {"min_orders": 3, "min_amount": "80.00"}])
def test_a_rule_has_a_minimum_of_orders_an_amount_or_both(fields: dict[str, object]) -> None:
    assert AudienceRule.model_validate(fields | PERIOD | {"source": "s01"}).source == "s01"


@pytest.mark.parametrize(
    "fields",
    [
        PERIOD,
        {"min_orders": 0, **PERIOD},
        {"min_orders": "1", **PERIOD},
        {"min_amount": 80.0, **PERIOD},
        {"min_amount": "0.00", **PERIOD},
        {"min_orders": 1, "since": PERIOD["since"]},
        {"min_orders": 1, "since": PERIOD["until"], "until": PERIOD["until"]},
        {"min_orders": 1, "since": PERIOD["until"], "until": PERIOD["since"]},
        {"min_orders": 1, "sources": ["s01"], **PERIOD},
    ],
)
def test_an_invalid_rule_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AudienceRule.model_validate(fields)
