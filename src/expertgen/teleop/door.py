"""Who is let in: nobody without the token, and nobody whom another site has sent."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from expertgen.teleop.page import page
from expertgen.teleop.protocol import film_body


def answer(request: Request, token: str, film: list[bytes]) -> Response | None:
    """Answers a request.

    Args:
        request: for the page, the websocket, or the film.
        token: what its address must contain.
        film: pictures of the last episode.

    Returns:
        the answer, or None where the request may go on to be a websocket.
    """
    address = urlsplit(request.path)
    given = parse_qs(address.query).get("token", [""])[0]
    if not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
        return _response(HTTPStatus.FORBIDDEN)
    host = request.headers.get("Host", "")
    if address.path == "/socket":
        same_site = request.headers.get("Origin", "") == f"http://{host}"
        return None if same_site else _response(HTTPStatus.FORBIDDEN)
    if address.path == "/":
        body, policy = page()
        # Not every browser takes 'self' for a websocket's own address.
        connect = f"; connect-src 'self' ws://{host}" if _plain(host) else "; connect-src 'self'"
        return _response(HTTPStatus.OK, "text/html; charset=utf-8", body, policy + connect)
    if address.path == "/film":
        return _response(HTTPStatus.OK, "application/octet-stream", film_body(film))
    return _response(HTTPStatus.NOT_FOUND)


def _plain(host: str) -> bool:
    """Whether a Host header can stand in another header."""
    return bool(host) and all(letter.isalnum() or letter in ".-:[]" for letter in host)


def _response(status: HTTPStatus, kind: str = "text/plain", body: bytes = b"", policy: str = "") -> Response:
    headers = Headers()
    headers["Content-Type"] = kind
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    headers["Cache-Control"] = "no-store"
    headers["Referrer-Policy"] = "no-referrer"
    headers["X-Content-Type-Options"] = "nosniff"
    if policy:
        headers["Content-Security-Policy"] = policy
    return Response(status.value, status.phrase, headers, body)
