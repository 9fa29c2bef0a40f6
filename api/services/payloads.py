"""What a codec server does for Temporal's UI and CLI: shows a person what is encrypted, and encrypts what they send."""

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from temporalio.api.common.v1 import Payloads
from temporalio.client import Client

from domain.errors import ErrorCode, Refusal
from workflows.encryption import UndecipherableError


class PayloadService:
    def __init__(self, client: Client) -> None:
        self._codec = client.data_converter.payload_codec

    async def encode(self, body: bytes) -> bytes:
        """Takes and returns `{"payloads": […]}`. Raises Refusal: invalid_request."""
        payloads = _payloads(body)
        if self._codec is not None:
            payloads = Payloads(payloads=await self._codec.encode(payloads.payloads))
        return _json(payloads)

    async def decode(self, body: bytes) -> bytes:
        """Takes and returns `{"payloads": […]}`. Raises Refusal: invalid_request."""
        payloads = _payloads(body)
        if self._codec is not None:
            try:
                payloads = Payloads(payloads=await self._codec.decode(payloads.payloads))
            except UndecipherableError as error:
                raise Refusal(ErrorCode.INVALID_REQUEST, f"{error}.") from None
        return _json(payloads)


def _payloads(body: bytes) -> Payloads:
    try:
        return Parse(body, Payloads(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError):
        raise Refusal(ErrorCode.INVALID_REQUEST, 'The JSON of payloads is expected: {"payloads": […]}.') from None


def _json(payloads: Payloads) -> bytes:
    return MessageToJson(payloads, indent=None).encode()
