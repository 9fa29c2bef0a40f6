"""Uploads of audience members: user ids in CSV or JSON lines, parsed in pieces of any size."""

import csv
import json
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from domain.schemas.audiences import BadLine
from domain.types import Identifier

LINE_LIMIT = 4096
"""bytes"""
MAX_REPORTED = 100
"""bad lines that are reported one by one"""
EXCERPT = 40
"""characters of a bad value that its report shows"""
COLUMN = "user_id"

_USER_ID: TypeAdapter[str] = TypeAdapter(Identifier)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UploadFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"


class UploadParser:
    """Parses an upload piece by piece. Its memory is bounded: an unfinished line, and the first bad ones."""

    def __init__(self, upload_format: UploadFormat) -> None:
        self._parse_line = _CsvLines().user_id if upload_format is UploadFormat.CSV else _json_user_id
        self._unfinished = b""
        self.seen = 0
        self.accepted = 0
        self.bad = 0
        self.report: list[BadLine] = []

    def feed(self, piece: bytes) -> list[str]:
        """Returns the user ids of the lines that this piece completes."""
        *lines, unfinished = (self._unfinished + piece).split(b"\n")
        # One byte over the limit is enough to know that the line is too long: the rest of it is dropped.
        self._unfinished = unfinished[: LINE_LIMIT + 1]
        return self._user_ids(lines)

    def finish(self) -> list[str]:
        """Returns the user id of a last line without a line feed."""
        last, self._unfinished = self._unfinished, b""
        return self._user_ids([last] if last else [])

    def _user_ids(self, lines: list[bytes]) -> list[str]:
        user_ids = []
        for line in lines:
            self.seen += 1
            try:
                user_id = self._parse_line(_text(line.removeprefix(_BYTE_ORDER_MARK) if self.seen == 1 else line))
            except ValueError as error:
                self.bad += 1
                if len(self.report) < MAX_REPORTED:
                    self.report.append(BadLine(line=self.seen, reason=str(error)))
            else:
                if user_id is not None:
                    user_ids.append(user_id)
        self.accepted += len(user_ids)
        return user_ids


class _CsvLines:
    """The lines of a CSV file. A header, where there is one, names the column of the user ids."""

    def __init__(self) -> None:
        self._column: int | None = None
        self._is_first = True

    def user_id(self, text: str) -> str | None:
        """Returns None for an empty line and for the header.

        Raises:
            ValueError: the line names no user.
        """
        if not text:
            return None
        cells = _cells(text)
        is_first, self._is_first = self._is_first, False
        if is_first and COLUMN in (names := [cell.lower() for cell in cells]):
            self._column = names.index(COLUMN)
            return None
        if self._column is None and len(cells) > 1:
            raise ValueError(f"{len(cells)} columns, and no header that names {COLUMN}")
        if self._column is not None and self._column >= len(cells):
            raise ValueError(f"no column {COLUMN}")
        return _identifier(cells[self._column or 0])


def _text(line: bytes) -> str:
    if len(line) > LINE_LIMIT:
        raise ValueError(f"longer than {LINE_LIMIT} bytes")
    try:
        return line.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _cells(text: str) -> list[str]:
    if "," not in text and '"' not in text:
        return [text]
    try:
        return [cell.strip() for cell in next(csv.reader([text], strict=True))]
    except csv.Error:
        raise ValueError("not CSV: its quotes do not match") from None


def _json_user_id(text: str) -> str | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    return _identifier(value.get(COLUMN) if isinstance(value, dict) else value)


def _identifier(value: object) -> str:
    if not isinstance(value, str):
        # ValueError, not TypeError: it is the line that is bad.
        raise ValueError(f'names no user: {{"{COLUMN}": "…"}} or a JSON string does')  # noqa: TRY004
    try:
        return _USER_ID.validate_python(value)
    except ValidationError:
        raise ValueError(f"{value[:EXCERPT]!r} is no user id: up to 64 letters, digits and . _ : @ -") from None
