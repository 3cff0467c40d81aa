"""environment.yml as people have it, to a Spec; every complaint at once, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import NoReturn

from environments_app.spec.conda import NO_CHANNEL, channel_of_spec, check_channel, check_match_spec, check_platform
from environments_app.spec.document import Mapping, Node, Scalar, Sequence, read
from environments_app.spec.errors import Problem, SpecInvalid
from environments_app.spec.model import Line, Spec
from environments_app.spec.pip import PipReader

MAX_DEPENDENCIES = 2000
MAX_CHANNELS = 50
MAX_VARIABLES = 200
MAX_VARIABLE_CHARS = 8192
MAX_DESCRIPTION_CHARS = 20_000
MAX_NAME_TEXT_CHARS = 200
MAX_PROBLEMS = 50

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_KEYS = ("name", "description", "channels", "dependencies", "variables", "platforms", "prefix")


def read_environment(text: str, *, public_url: str) -> Spec:
    """The Spec of an environment.yml. public_url: the hub's own address, by which channels may be named. Raises SpecInvalid."""
    root = read(text)
    if not isinstance(root, Mapping):
        raise SpecInvalid(
            [
                Problem(
                    root.line, "bad_spec", "This is not an environment.yml.", "It has keys such as 'name:', 'channels:', 'dependencies:'."
                )
            ]
        )
    return _Reader(root, public_url).spec()


class _Reader:
    """Reads one document; problems are gathered, so that a person mends all of them in one go."""

    def __init__(self, root: Mapping, public_url: str) -> None:
        self._root = root
        self._public_url = public_url
        self._problems: list[Problem] = []
        self._notes: list[Line] = []
        self._channels: dict[str, Line] = {}
        self._dependencies: list[Line] = []
        self._pip = PipReader(self._note)

    def spec(self) -> Spec:
        name = self._word("name", MAX_NAME_TEXT_CHARS)
        description = self._word("description", MAX_DESCRIPTION_CHARS)
        self._read_channels()
        self._read_dependencies()
        variables = self._variables()
        platforms = self._platforms()
        self._read_over()
        if self._problems:
            raise SpecInvalid(sorted(self._problems, key=lambda problem: problem.line))
        return Spec(
            name=name,
            description=description,
            channels=tuple(self._channels.values()),
            dependencies=tuple(self._dependencies),
            pip=tuple(self._pip.requirements),
            pip_options=self._pip.options,
            variables=MappingProxyType(variables),
            platforms=tuple(platforms),
            notes=tuple(self._notes),
        )

    def _note(self, problem: Problem) -> None:
        self._problems.append(problem)
        if len(self._problems) >= MAX_PROBLEMS:
            raise SpecInvalid(sorted(self._problems, key=lambda one: one.line))

    def _stop(self, line: int, code: str, detail: str, hint: str = "") -> NoReturn:
        raise SpecInvalid(sorted([*self._problems, Problem(line, code, detail, hint)], key=lambda one: one.line))

    def _word(self, key: str, most_chars: int) -> str:
        node = self._root.items.get(key)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return ""
        if not isinstance(node, Scalar):
            self._note(Problem(node.line, "bad_value", f"'{key}' must be text."))
            return ""
        if len(node.text) > most_chars:
            self._note(Problem(node.line, "bad_value", f"'{key}' is too long.", f"At most {most_chars:,} characters."))
        return node.text.strip()

    def _words(self, node: Node | None, what: str) -> Iterator[Scalar]:
        """The texts of a list; a lone text counts as a list of one, as conda has it."""
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return
        if isinstance(node, Mapping):
            self._note(Problem(node.line, "bad_value", f"'{what}' must be a list.", "Begin each of its lines with '- '."))
            return
        for item in [node] if isinstance(node, Scalar) else node.items:
            if isinstance(item, Scalar) and not item.is_null:
                yield item
            else:
                self._note(Problem(item.line, "bad_value", f"An entry of '{what}' is no text.", "One name a line."))

    def _read_channels(self) -> None:
        for item in self._words(self._root.items.get("channels"), "channels"):
            if item.text == NO_CHANNEL:
                continue
            name, problem = check_channel(item.text, item.line, self._public_url)
            if problem is not None:
                self._note(problem)
            else:
                self._channels.setdefault(name, Line(name, item.line))
            self._check_channel_count(item.line)

    def _check_channel_count(self, line: int) -> None:
        if len(self._channels) > MAX_CHANNELS:
            self._stop(line, "too_many_channels", "There are too many channels.", f"At most {MAX_CHANNELS}.")

    def _read_dependencies(self) -> None:
        node = self._root.items.get("dependencies")
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return
        if not isinstance(node, Sequence):
            self._note(Problem(node.line, "bad_value", "'dependencies' must be a list.", "Begin each of its lines with '- '."))
            return
        for item in node.items:
            if isinstance(item, Scalar) and not item.is_null:
                self._take_dependency(item)
            elif isinstance(item, Mapping):
                self._take_part(item)
            else:
                self._note(Problem(item.line, "bad_dependency", "A dependency is no text.", "For instance '- python 3.11.*'."))
            if len(self._dependencies) + len(self._pip.requirements) > MAX_DEPENDENCIES:
                self._stop(item.line, "too_many_dependencies", "There are too many dependencies.", f"At most {MAX_DEPENDENCIES:,}.")

    def _take_dependency(self, item: Scalar) -> None:
        text = " ".join(item.text.split())
        spec, problem = check_match_spec(text, item.line)
        if problem is not None:
            self._note(problem)
            return
        self._dependencies.append(Line(text, item.line))
        # A channel that only a dependency names is used as well, after those of the list.
        channel = channel_of_spec(spec)
        if channel:
            name, problem = check_channel(channel, item.line, self._public_url)
            if problem is not None:
                self._note(problem)
                return
            self._channels.setdefault(name, Line(name, item.line))
            self._check_channel_count(item.line)

    def _take_part(self, part: Mapping) -> None:
        for key, value in part.items.items():
            if key != "pip":
                self._note(Problem(part.lines[key], "bad_dependency", f"'{key[:40]}:' is not known among dependencies.", "Only 'pip:' is."))
                continue
            for item in self._words(value, "pip"):
                self._pip.take(item.text, item.line)

    def _variables(self) -> dict[str, str]:
        node = self._root.items.get("variables")
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return {}
        if isinstance(node, Sequence) and not node.items:
            # As conda-store's UI writes that there are none.
            return {}
        if not isinstance(node, Mapping):
            self._note(Problem(node.line, "bad_value", "'variables' must be keys with values.", "For instance 'OMP_NUM_THREADS: 1'."))
            return {}
        if len(node.items) > MAX_VARIABLES:
            self._stop(node.line, "too_many_variables", "There are too many variables.", f"At most {MAX_VARIABLES}.")
        found = {}
        for key, value in node.items.items():
            line = node.lines[key]
            if _VARIABLE_NAME.fullmatch(key) is None:
                self._note(Problem(line, "bad_variable", f"'{key[:60]}' can't be the name of a variable.", "Letters, digits and '_'."))
            elif not isinstance(value, Scalar) or len(value.text) > MAX_VARIABLE_CHARS:
                self._note(
                    Problem(line, "bad_variable", f"The value of '{key[:60]}' must be text of at most {MAX_VARIABLE_CHARS:,} characters.")
                )
            else:
                found[key] = "" if value.is_null else value.text
        return found

    def _platforms(self) -> list[Line]:
        found: dict[str, Line] = {}
        for item in self._words(self._root.items.get("platforms"), "platforms"):
            problem = check_platform(item.text, item.line)
            if problem is not None:
                self._note(problem)
            found.setdefault(item.text, Line(item.text, item.line))
        return list(found.values())

    def _read_over(self) -> None:
        """conda reads over keys that it does not know; here the person is told."""
        for key, line in self._root.lines.items():
            if key == "prefix":
                self._notes.append(Line("'prefix' is ignored: the hub decides where an environment lies.", line))
            elif key not in _KEYS:
                self._notes.append(Line(f"'{key[:60]}' is not known and ignored.", line))
