"""The server's responses: a status, and a reason that says what happened."""

from __future__ import annotations

from collections.abc import Mapping

from streamsocket.rtsp.message import Headers, Request, Response

_MAX_REASON = 200

PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    415: "Unsupported Media Type",
    451: "Parameter Not Understood",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    457: "Invalid Range",
    459: "Aggregate Operation Not Allowed",
    460: "Only Aggregate Operation Allowed",
    461: "Unsupported Transport",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "RTSP Version Not Supported",
    551: "Option Not Supported",
}


def build_response(
    status: int,
    message: str,
    request: Request | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response whose reason says what happened: the one part of it that players show."""
    reason = PHRASES.get(status, "Refused")
    if message:
        printable = "".join(char if char.isprintable() else "?" for char in message)
        reason = f"{reason}: {printable}"[:_MAX_REASON]
    fields = Headers()
    cseq = request.headers.get("CSeq") if request else None
    if cseq is not None:
        fields.add("CSeq", cseq)
    fields.add("Server", "StreamSocket")
    for name, value in (headers or {}).items():
        fields.add(name, value)
    return Response(status, reason, fields)
