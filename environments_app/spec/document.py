"""YAML as a tree that knows its lines: limited in size and depth, without aliases, tags and double keys.

Read from the parser's events, not with its composer: that one recurses, and a text of brackets alone ends the process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from environments_app.spec.errors import Problem, SpecInvalid

MAX_SPEC_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_NODES = 20_000

# Control characters, halves of surrogate pairs, and what Unicode says is no character.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# Over it PyYAML's messages repeat the text; a person wants the gist.
_MAX_REASON_CHARS = 200


@dataclass(slots=True)
class Scalar:
    """Text as it stands there: `3.10` stays what was written. `is_null`: nothing was written, or null."""

    line: int
    text: str
    is_null: bool = False


@dataclass(slots=True)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    line: int
    items: dict[str, Node] = field(default_factory=dict)
    # Where each key stands.
    lines: dict[str, int] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


def read(text: str) -> Node:
    """The one document of a text. Raises SpecInvalid."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SPEC_BYTES:
        raise _refusal(0, "spec_too_large", "The specification is too large.", f"At most {MAX_SPEC_BYTES // 1024} KiB.")
    strange = _NO_TEXT.search(text)
    if strange is not None:
        line = text.count("\n", 0, strange.start()) + 1
        raise _refusal(line, "bad_character", "There is a character that is no text.", "Save the file as plain text in UTF-8.")
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        raise _unreadable(error) from None
    if builder.root is None:
        raise _refusal(0, "empty_spec", "The specification is empty.", "Write at least a name, channels and dependencies.")
    return builder.root


def _unreadable(error: yaml.YAMLError) -> SpecInvalid:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = str(getattr(error, "problem", None) or "it can't be read").split("\n")[0][:_MAX_REASON_CHARS]
    line = mark.line + 1 if mark is not None else 0
    return _refusal(line, "bad_yaml", f"This is not YAML: {reason}.", "Look at the indentation, quotes and colons there and just before.")


class _Builder:
    """Puts the tree together from events; the open collections are a list, so depth costs no stack."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Sequence | Mapping] = []
        self._keys: list[Scalar | None] = []
        self._count = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _refusal(line, "many_documents", "A second document begins here.", "Put each specification into a file of its own.")
        elif isinstance(event, yaml.AliasEvent):
            raise _refusal(line, "yaml_alias", "Aliases (*name) are not read.", "Write the value out.")
        elif isinstance(event, yaml.ScalarEvent):
            self._check_node(event, line)
            self._put(Scalar(line, event.value, bool(event.implicit[0]) and event.value in _NULLS))
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._check_node(event, line)
            self._begin(Sequence(line) if isinstance(event, yaml.SequenceStartEvent) else Mapping(line))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._open.pop()
            self._keys.pop()

    def _check_node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise _refusal(line, "spec_too_large", "The specification has too many entries.", f"At most {MAX_NODES:,}.")
        if event.tag not in (None, "!"):
            raise _refusal(line, "yaml_tag", f"The tag '{str(event.tag)[:60]}' is not read.", "Write plain text, lists and keys.")

    def _begin(self, node: Sequence | Mapping) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _refusal(node.line, "spec_too_deep", "Lists and keys are nested too deep.", f"At most {MAX_DEPTH} levels.")
        self._put(node)
        self._open.append(node)
        self._keys.append(None)

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._key(parent, node)
            return
        parent.items[key.text] = node
        parent.lines[key.text] = key.line
        self._keys[-1] = None

    @staticmethod
    def _key(parent: Mapping, node: Node) -> Scalar:
        if not isinstance(node, Scalar):
            raise _refusal(node.line, "bad_yaml", "A key must be a word.", "Look at the colons and brackets there.")
        if node.text in parent.items:
            raise _refusal(
                node.line,
                "double_key",
                f"'{node.text[:60]}' stands here twice; first on line {parent.lines[node.text]}.",
                "Keep one of them.",
            )
        if node.text == "<<":
            raise _refusal(node.line, "yaml_alias", "Merging (<<) is not read.", "Write the values out.")
        return node


def _refusal(line: int, code: str, detail: str, hint: str) -> SpecInvalid:
    return SpecInvalid([Problem(line, code, detail, hint)])
