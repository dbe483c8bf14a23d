"""Reads the text of a YAML document into plain values and remembers the line of each. It knows no settings.

YAML is taken without its hazards: no aliases, no tags of one's own, no deep nesting, no key given twice.
Messages repeat names of fields but never values, because a value may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

Path = tuple[str | int, ...]

_DEEPEST = 16
_STANDARD_TAGS = "tag:yaml.org,2002:"
_LONGEST_HARMLESS = 2
_TRUE = {"yes", "true", "on"}
# A quotation in YAML's own messages may be part of a value, unless it is a character or one of its tokens.
_QUOTED = re.compile(r"(['\"])(?P<quoted>.*?)\1")


@dataclass
class Mistake:
    """Something wrong at a line, counted from 1, and at a path of the document, which may be empty."""

    line: int
    path: Path
    message: str


@dataclass
class Document:
    """The plain value of a document, the line of every field and item in it, and what was wrong with it."""

    value: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def is_unreadable(self) -> bool:
        """Say whether nothing of it could be taken, so that looking for further mistakes makes no sense."""
        return not isinstance(self.value, dict) and bool(self.mistakes)

    @property
    def fields(self) -> dict[str, object]:
        """The document as a mapping; an empty document is an empty one."""
        return self.value if isinstance(self.value, dict) else {}


def read_document(text: str, *, deepest: int = _DEEPEST) -> Document:
    """Read one YAML document. Nothing is raised for a mistake in it: all of them are in `mistakes`.

    It may be nested `deepest` levels deep.
    """
    document = Document()
    try:
        hazards = _hazards(text, deepest)
        if hazards:
            document.mistakes.extend(hazards)
            return document
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        document.mistakes.append(_syntax_mistake(error))
        return document
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.mistakes.append(Mistake(line, (), "not valid YAML: it holds a control character"))
        return document
    if root is not None:
        document.lines[()] = _line(root)
        document.value = _value(root, (), document)
    return document


def _syntax_mistake(error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return Mistake(line, (), f"not valid YAML: {_QUOTED.sub(_without_value, said)}")


def _without_value(quotation: re.Match[str]) -> str:
    quoted = quotation["quoted"]
    return quotation[0] if len(quoted) <= _LONGEST_HARMLESS or quoted.startswith("<") else "a value"


def _hazards(text: str, deepest: int) -> list[Mistake]:
    """Find what must not even be composed: aliases can expand without bound, and nesting is recursion."""
    mistakes = []
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            mistakes.append(
                Mistake(line, (), "YAML aliases (*name) are not taken: write the value out, or quote it")
            )
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > deepest:
                return [*mistakes, Mistake(line, (), f"nested more than {deepest} levels deep")]
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return mistakes


def _value(node: yaml.Node, path: Path, document: Document) -> object:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for position, item in enumerate(node.value):
            document.lines[*path, position] = _line(item)
            items.append(_value(item, (*path, position), document))
        return items
    return _scalar(node, path, document)


def _mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, object]:
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document.mistakes.append(Mistake(_line(key_node), path, "a field's name must be text"))
            continue
        # The name as it is written: YAML would read a tier called `on` as true.
        name = str(key_node.value)
        if name in found:
            first = document.lines[*path, name]
            document.mistakes.append(
                Mistake(_line(key_node), (*path, name), f"given twice, first in line {first}")
            )
            continue
        document.lines[*path, name] = _line(key_node)
        found[name] = _value(value_node, (*path, name), document)
    return found


def _scalar(node: yaml.Node, path: Path, document: Document) -> object:
    text = str(node.value)
    kind = str(node.tag).removeprefix(_STANDARD_TAGS)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in _TRUE
    # YAML 1.1 reads 12:30 as a number to the base of 60, which nobody means here.
    if kind in {"int", "float"} and ":" not in text:
        return _number(text, kind)
    if kind.startswith("!"):
        message = "YAML tags (!name) are not taken: quote a value that begins with '!'"
        document.mistakes.append(Mistake(_line(node), path, message))
    return text


def _number(text: str, kind: str) -> int | float | str:
    constructor = yaml.constructor.SafeConstructor()
    node = yaml.ScalarNode(f"{_STANDARD_TAGS}{kind}", text)
    try:
        number: int | float = (
            constructor.construct_yaml_int(node) if kind == "int" else constructor.construct_yaml_float(node)
        )
    except ValueError:
        # What YAML calls a number though Python can't read it ("0b_") stays text, for its field to judge.
        return text
    return number


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
