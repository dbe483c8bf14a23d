"""Requests that two HTTP parsers could read differently. Each must be refused, and nothing behind it read."""

from __future__ import annotations

from .wire import chunked, request

_PLAIN = request()
_CHUNKED = "Transfer-Encoding: chunked"
_NOTHING = chunked()


def _with_lines(*lines: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    return request("/envoy/any", *lines, method="POST", body=body, version=version)


BARE_LINE_FEEDS = {
    "everywhere": _PLAIN.replace(b"\r\n", b"\n"),
    "after the request line": _PLAIN.replace(b"\r\n", b"\n", 1),
    "after a header": request("/envoy/any", "X-A: 1", "X-B: 2").replace(b"1\r\n", b"1\n"),
    "after the last header": _PLAIN[:-4] + b"\n\r\n",
    "in the place of the empty line": _PLAIN[:-2] + b"\n",
    "twice at the end": _PLAIN[:-4] + b"\n\n",
    "in a value": request("/envoy/any", "X-A: 1\nX-B: 2"),
    "in a name": request("/envoy/any", "X-\nA: 1"),
    "in the target": request("/envoy/\nany"),
    "in the version": _PLAIN.replace(b"/1.1", b"/1\n.1"),
    "after an empty value": request("/envoy/any", "X-A:", "X-B: 2").replace(b"A:\r\n", b"A:\n"),
}
BARE_CARRIAGE_RETURNS = {
    "everywhere": _PLAIN.replace(b"\r\n", b"\r"),
    "after the request line": _PLAIN.replace(b"\r\n", b"\r", 1),
    "after a header": _PLAIN[:-4] + b"\r\r\n",
    "in a value": request("/envoy/any", "X-A: 1\rX-B: 2"),
    "in a name": request("/envoy/any", "X-\rA: 1"),
    "before a colon": request("/envoy/any", "X-A\r: 1"),
    "in the target": request("/envoy/\rany"),
    "before line feeds": _PLAIN.replace(b"\r\n", b"\r\r\n"),
}
FOLDED_LINES = {
    "with a space": request("/envoy/any", "X-A: 1\r\n 2"),
    "with a tab": request("/envoy/any", "X-A: 1\r\n\t2"),
    "after an empty value": request("/envoy/any", "X-A:\r\n 2"),
    "with nothing in it": request("/envoy/any", "X-A: 1\r\n  "),
    "a length": _with_lines("Content-Length: 1\r\n 0", body=b"0123456789"),
    "an encoding": _with_lines("Transfer-Encoding:\r\n chunked", body=_NOTHING),
    "before the first header": _PLAIN.replace(b"\r\nHost", b"\r\n Host"),
    "the host": request("/envoy/any", host="api\r\n .example"),
}
LENGTHS = {
    "twice the same": _with_lines("Content-Length: 5", "Content-Length: 5", body=b"12345"),
    "twice different": _with_lines("Content-Length: 5", "Content-Length: 0", body=b"12345"),
    "twice in different case": _with_lines("Content-Length: 5", "CONTENT-LENGTH: 5", body=b"12345"),
    "a list": _with_lines("Content-Length: 5, 5", body=b"12345"),
    "a list of two": _with_lines("Content-Length: 5, 0", body=b"12345"),
    "with a plus": _with_lines("Content-Length: +5", body=b"12345"),
    "negative": _with_lines("Content-Length: -5", body=b"12345"),
    "hexadecimal": _with_lines("Content-Length: 0x5", body=b"12345"),
    "with an underscore": _with_lines("Content-Length: 1_0", body=b"1234567890"),
    "a fraction": _with_lines("Content-Length: 5.0", body=b"12345"),
    "empty": _with_lines("Content-Length:", body=b"12345"),
    "blank": _with_lines("Content-Length: \t", body=b"12345"),
    "with a space inside": _with_lines("Content-Length: 1 0", body=b"1234567890"),
    "beyond 64 bits": _with_lines("Content-Length: 18446744073709551617", body=b"1"),
    "of five thousand digits": _with_lines(f"Content-Length: {'9' * 5_000}", body=b"1"),
    "in other digits": _with_lines("Content-Length: \xb2", body=b"12"),
}
LENGTHS_WITH_ENCODINGS = {
    "length first": _with_lines("Content-Length: 5", _CHUNKED, body=_NOTHING),
    "encoding first": _with_lines(_CHUNKED, "Content-Length: 5", body=_NOTHING),
    "a length of none": _with_lines(_CHUNKED, "Content-Length: 0", body=_NOTHING),
    "length first, of none": _with_lines("Content-Length: 0", _CHUNKED, body=_NOTHING),
    "in other case": _with_lines("CONTENT-LENGTH: 5", "transfer-ENCODING: Chunked", body=_NOTHING),
}
ENCODINGS = {
    "identity": _with_lines("Transfer-Encoding: identity"),
    "gzip": _with_lines("Transfer-Encoding: gzip", body=b"12345"),
    "gzip, chunked": _with_lines("Transfer-Encoding: gzip, chunked", body=_NOTHING),
    "chunked, gzip": _with_lines("Transfer-Encoding: chunked, gzip", body=_NOTHING),
    "chunked, chunked": _with_lines("Transfer-Encoding: chunked, chunked", body=_NOTHING),
    "chunked in two lines": _with_lines(_CHUNKED, _CHUNKED, body=_NOTHING),
    "chunked, then identity": _with_lines(_CHUNKED, "Transfer-Encoding: identity", body=_NOTHING),
    "identity, then chunked": _with_lines("Transfer-Encoding: identity", _CHUNKED, body=_NOTHING),
    "xchunked": _with_lines("Transfer-Encoding: xchunked", body=_NOTHING),
    "chunkedx": _with_lines("Transfer-Encoding: chunkedx", body=_NOTHING),
    "quoted": _with_lines('Transfer-Encoding: "chunked"', body=_NOTHING),
    "with a parameter": _with_lines("Transfer-Encoding: chunked;q=1", body=_NOTHING),
    "after a comma": _with_lines("Transfer-Encoding: ,chunked", body=_NOTHING),
    "before a comma": _with_lines("Transfer-Encoding: chunked,", body=_NOTHING),
    "after a vertical tab": _with_lines("Transfer-Encoding: \x0bchunked", body=_NOTHING),
    "before a vertical tab": _with_lines("Transfer-Encoding: chunked\x0b", body=_NOTHING),
    "before a no-break space": _with_lines("Transfer-Encoding: chunked\xa0", body=_NOTHING),
    "before a control of latin-1": _with_lines("Transfer-Encoding: chunked\x85", body=_NOTHING),
    "empty": _with_lines("Transfer-Encoding:", body=_NOTHING),
    "space before the colon": _with_lines("Transfer-Encoding : chunked", body=_NOTHING),
    "in HTTP/1.0": _with_lines(_CHUNKED, body=_NOTHING, version="HTTP/1.0"),
    "in HTTP/1.0, kept alive": _with_lines(
        _CHUNKED, "Connection: keep-alive", body=_NOTHING, version="HTTP/1.0"
    ),
}
LINES = {
    "space before the colon": request("/envoy/any", "X-A : 1"),
    "tab before the colon": request("/envoy/any", "X-A\t: 1"),
    "no colon": request("/envoy/any", "X-A"),
    "no name": request("/envoy/any", ": 1"),
    "space in a name": request("/envoy/any", "X A: 1"),
    "space before a name": request("/envoy/any", " X-A: 1"),
    "a name beyond ASCII": request("/envoy/any", "X-\xe4: 1"),
    "a bracket in a name": request("/envoy/any", "X-(A): 1"),
    "method in lower case": request(method="get"),
    "an unknown method": request(method="FETCH"),
    "a method of other characters": request(method="G@T"),
    "no method": b" /envoy/any HTTP/1.1\r\nHost: a\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "tabs for spaces": _PLAIN.replace(b" ", b"\t", 2),
    "tab before the version": _PLAIN.replace(b" HTTP", b"\tHTTP"),
    "space after the version": _PLAIN.replace(b"HTTP/1.1", b"HTTP/1.1 "),
    "more after the version": _PLAIN.replace(b"HTTP/1.1", b"HTTP/1.1 HTTP/1.1"),
    "a control character in the target": request("/envoy/\x01"),
    "NUL in the target": request("/envoy/\x00"),
    "DEL in the target": request("/envoy/\x7f"),
    "a byte beyond ASCII in the target": request("/envoy/\xff"),
    "an answer instead of a request": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "the beginning of TLS": bytes.fromhex("160301020001000200030301") + b"\x00" * 50,
}
VERSIONS = {
    version: request(version=version)
    for version in [
        *("HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/2", "HTTP/3.0", "HTTP/9.9", "HTTP/1.10"),
        *("HTTP/01.1", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP1.1", "HTTP/1,1", "HTTP/-1.1"),
        *("http/1.1", "Http/1.1", "HTTPS/1.1", "ICE/1.0", "HTCPCP/1.0", "SIP/2.0"),
    ]
}
BODIES = {
    "no size": b"\r\n",
    "a size that is no number": b"zz\r\nab\r\n0\r\n\r\n",
    "a negative size": b"-1\r\na\r\n0\r\n\r\n",
    "a size with 0x": b"0x1\r\na\r\n0\r\n\r\n",
    "a size with a plus": b"+1\r\na\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"1" + b"0" * 16 + b"\r\na",
    "a space after the size": b"1 \r\na\r\n0\r\n\r\n",
    "a space before the size": b" 1\r\na\r\n0\r\n\r\n",
    "less than announced": b"5\r\nabc\r\n0\r\n\r\n" + b"\r\n",
    "more than announced": b"1\r\nabc\r\n0\r\n\r\n",
    "a bare LF after the size": b"1\na\r\n0\r\n\r\n",
    "a bare LF after an extension": b"1;a=b\na\r\n0\r\n\r\n",
    "a bare LF after the data": b"1\r\na\n0\r\n\r\n",
    "a bare LF after the last size": b"0\n\r\n",
    "a bare LF at the end": b"0\r\n\n",
    "bare LFs at the end": b"0\n\n",
    "a bare LF after a trailer": b"0\r\nX-A: 1\n\r\n",
    "a bare LF in a trailer": b"0\r\nX-A: 1\nX-B: 2\r\n\r\n",
    "a bare CR in an extension": b"1;a\rb\r\na\r\n0\r\n\r\n",
    "a folded trailer": b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "a trailer without colon": b"0\r\nX-A\r\n\r\n",
}
REQUESTS = {
    f"{kind}: {name}": data
    for kind, table in (
        ("bare LF", BARE_LINE_FEEDS),
        ("bare CR", BARE_CARRIAGE_RETURNS),
        ("obs-fold", FOLDED_LINES),
        ("Content-Length", LENGTHS),
        ("Content-Length and Transfer-Encoding", LENGTHS_WITH_ENCODINGS),
        ("Transfer-Encoding", ENCODINGS),
        ("line", LINES),
        ("version", VERSIONS),
    )
    for name, data in table.items()
}
