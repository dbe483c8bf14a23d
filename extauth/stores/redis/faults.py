"""What the client of Redis raises, in words for operators: no numbers of errors, nothing of its insides."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as SocketTimeoutError

_NO_WORDS = "it broke the connection off"
_WANTS_TLS = "; if it speaks TLS, the URL must begin with rediss"
_WANTS_NO_TLS = "; if it doesn't speak TLS, the URL must begin with redis, not with rediss"
_WANTS_A_CERTIFICATE = (
    f"; if it wants a certificate of its clients, set store.certificate_file{_WANTS_NO_TLS}"
)


def told(error: BaseException) -> str:
    """Say what is wrong: what lies at the bottom of it, as Redis or the system calls it."""
    for cause in _causes(error):
        if words := _words(cause):
            return words
    return str(error).rstrip(". ") or _NO_WORDS


def tls_hint(error: BaseException, *, tls: bool) -> str:
    """Say what may be wrong with a first connection that came to nothing without a word.

    A Redis without TLS waits for the end of what it takes for a command. One with TLS closes the connection
    of whoever doesn't speak it or doesn't show a certificate that it wants.
    """
    if _broken_off(error):
        return _WANTS_A_CERTIFICATE if tls else _WANTS_TLS
    is_silent = any(isinstance(one, TimeoutError | SocketTimeoutError) for one in _causes(error))
    return _WANTS_NO_TLS if tls and is_silent else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _broken_off(error: BaseException) -> bool:
    return told(error) in {_NO_WORDS, "Connection closed by server"} or any(
        isinstance(one, ssl.SSLError) and _reason(one) == "WRONG_VERSION_NUMBER" for one in _causes(error)
    )


def _reason(error: ssl.SSLError) -> str:
    # It is there only where OpenSSL gave one.
    return getattr(error, "reason", None) or ""


def _words(cause: BaseException) -> str:
    match cause:
        case MasterNotFoundError():
            return "no Sentinel that answers knows a primary of that name"
        case ResponseError():
            return str(cause).strip()
        case ssl.SSLCertVerificationError():
            return f"its certificate can't be trusted: {cause.verify_message}"
        case ssl.SSLError():
            return f"no TLS: {_reason(cause).replace('_', ' ').lower() or 'the handshake failed'}"
        case socket.gaierror():
            return cause.strerror or "no such host"
        case ConnectionResetError():
            return _NO_WORDS
        case TimeoutError() | SocketTimeoutError():
            return "no answer in time"
        case OSError():
            return "can't be reached" if cause.errno is None else os.strerror(cause.errno)
        case UnicodeDecodeError():
            return "what it holds is not UTF-8"
    return ""
