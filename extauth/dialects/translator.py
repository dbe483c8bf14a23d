"""What every dialect is made of."""

from __future__ import annotations

from extauth.dialects.answers import AnswerWriter
from extauth.dialects.requests import RequestReader


class Translator:
    """Holds what reads requests and what writes answers, each a single look-up away."""

    def __init__(self, reader: RequestReader, writer: AnswerWriter) -> None:
        self._read = reader.read
        self.read_again = reader.read_again
        self._allowed = writer.allowed
        self._denied = writer.denied
