"""Replies that load balancers, half-dead proxies and broken servers send in place of an answer, byte by byte.

Each takes the good reply and gives what goes over the wire before the connection is closed. Another try cures all of
them.
"""

import gzip
import json
from collections.abc import Callable, Mapping


def _reply(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _status(status: str, body: bytes = b"") -> Callable[[bytes], bytes]:
    return lambda _: _reply(status, body)


def _body(body: bytes, *headers: str) -> Callable[[bytes], bytes]:
    return lambda _: _reply("200 OK", body, *headers)


def _error(code: int) -> bytes:
    return json.dumps({"error": {"code": code, "message": "try again", "type": "server_error"}}).encode()


def _raw(head: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: head + whole


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_PAGE = b"<html><body><h1>Bad Gateway</h1></body></html>"
WIRE: Mapping[str, Callable[[bytes], bytes]] = {
    "408": _status("408 Request Timeout"),
    "502 page": _status("502 Bad Gateway", _PAGE),
    "503": _status("503 Service Unavailable", b"maintenance"),
    "504 empty": _status("504 Gateway Timeout"),
    "529": _status("529 Overloaded", _error(529)),
    "200 with 429": _body(_error(429)),
    "200 with 500": _body(_error(500)),
    "200 empty": _body(b""),
    "200 page": _body(_PAGE, "Content-Type: text/html"),
    "null": _body(b"null"),
    "array": _body(b"[]"),
    "no choices": _body(b'{"object":"chat.completion","choices":[]}'),
    "deep": _body(b"[" * 100_000),
    "no gzip": _body(b"not packed", "Content-Encoding: gzip"),
    "cut gzip": lambda whole: _reply("200 OK", gzip.compress(whole)[:-12], "Content-Encoding: gzip"),
    "packed otherwise": _body(b"\x0b\x02\x80", "Content-Encoding: br"),
    "chunk bad": lambda whole: _CHUNKED + b"zz\r\n" + whole[:40],
    "chunk stops": lambda whole: _CHUNKED + b"1000\r\n" + whole[:40],
    "no http": _raw(b"\x00\xff\xfeSSH-2.0-x\r\n\r\n"),
    "half a head": lambda _: b"HTTP/1.1 200 OK\r\nContent-Ty",
    "20000 headers": lambda whole: _reply("200 OK", whole, *(f"X-{number}: y" for number in range(20_000))),
    "header of 1 MB": lambda whole: _reply("200 OK", whole, "X-Long: " + "y" * 2**20),
    "header with NUL": lambda whole: _reply("200 OK", whole, "X-Nul: a\0b"),
    "two lengths": lambda whole: _reply("200 OK", whole, "Content-Length: 3"),
    "length negative": lambda whole: _reply("200 OK", whole, length=-1),
    "length too long": lambda whole: _reply("200 OK", whole, length=len(whole) + 1000),
    "no status": _raw(b"HTTP/1.1 abc\r\n\r\n"),
    "bare body": _raw(b""),
}
