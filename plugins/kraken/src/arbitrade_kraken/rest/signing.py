"""How a private REST request proves who sent it.  Pure: no I/O, no clock.

Venue: REST documentation, "Spot REST authentication" (May 2026).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import orjson

from arbitrade.errors import AuthenticationError

type Field = str | int | bool | Sequence[Field] | Mapping[str, Field]
"""What a request may carry; amounts are text, so that no digit is lost."""


def form_payload(nonce: int, fields: Mapping[str, str]) -> str:
    """Return the form-encoded body, the nonce first."""
    return urlencode({"nonce": nonce, **fields})


def json_payload(nonce: int, fields: Mapping[str, Field]) -> str:
    """Return the JSON body, the nonce first and as text: it exceeds what a double holds."""
    return orjson.dumps({"nonce": str(nonce), **fields}).decode()


def sign(path: str, nonce: int, payload: str, private_key: str) -> str:
    """Return the `API-Sign` header.

    Base64 of HMAC-SHA-512, keyed with the decoded private key, over the path and the SHA-256 of
    nonce and payload.

    Args:
        path: From `/0/private/` on.
        nonce: The one in the payload.
        payload: The body exactly as it will be sent.
        private_key: As the venue shows it, base64.

    Raises:
        AuthenticationError: The key is not base64; it is not shown.
    """
    digest = hashlib.sha256(f"{nonce}{payload}".encode()).digest()
    mac = hmac.new(_decoded(private_key), path.encode() + digest, hashlib.sha512)
    return base64.b64encode(mac.digest()).decode()


def check_private_key(private_key: str) -> None:
    """Make sure that something can be signed with it.

    Raises:
        AuthenticationError: The key is not base64; it is not shown.
    """
    _decoded(private_key)


def _decoded(private_key: str) -> bytes:
    try:
        return base64.b64decode(private_key, validate=True)
    except (binascii.Error, ValueError):
        pass
    # Outside of the handler, so that nothing that saw the key hangs on to the error.
    raise AuthenticationError(
        "kraken.api_secret: not base64; copy the private key as Kraken shows it, once, when the "
        "API key is made"
    )
