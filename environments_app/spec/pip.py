"""The pip half of a specification: PEP 508 requirements and index flags, and nothing that reads a disk or a repository."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from environments_app.spec.conda import is_local_path
from environments_app.spec.errors import Problem
from environments_app.spec.model import Line, PipOptions

MAX_REQUIREMENT_CHARS = 500
_HINT = "For instance 'requests >=2.31' (PEP 508)."
_VCS = re.compile(r"\b(?:git|hg|svn|bzr)\+")
_FLAG = re.compile(r"(?P<flag>--?[A-Za-z][A-Za-z-]*)(?:\s*[=\s]\s*(?P<value>\S.*))?$")
_OPTIONS_REFUSED = {
    "-r": "requirements files",
    "--requirement": "requirements files",
    "-c": "constraints files",
    "--constraint": "constraints files",
    "-e": "editable requirements",
    "--editable": "editable requirements",
    "-f": "folders of links",
    "--find-links": "folders of links",
    "--no-binary": "source distributions",
    "--trusted-host": "hosts without certificates",
}


@dataclass(slots=True)
class PipReader:
    """Takes the entries of a `pip:` list one after the other. `note` is told each problem."""

    note: Callable[[Problem], None]
    requirements: list[Line] = field(default_factory=list)
    _index_url: str = ""
    _extra: list[str] = field(default_factory=list)
    _pre: bool = False

    @property
    def options(self) -> PipOptions:
        return PipOptions(self._index_url, tuple(self._extra), self._pre)

    def take(self, text: str, line: int) -> None:
        text = text.strip()
        if text.startswith("-"):
            self._take_flag(text, line)
        else:
            self._take_requirement(text, line)

    def _take_flag(self, text: str, line: int) -> None:
        # pip takes `-rfile` for `-r file`.
        glued = re.match(r"-[rcef](?=[^-\s=])", text)
        found = _FLAG.match(text)
        flag = glued.group() if glued else found.group("flag") if found else text
        value = (found.group("value") or "").strip() if found else ""
        if flag in _OPTIONS_REFUSED:
            self._refuse(line, "pip_option", f"'{flag}' is not taken: no {_OPTIONS_REFUSED[flag]}.", "List the requirements themselves.")
        elif flag == "--pre" and not value:
            self._pre = True
        elif flag in ("-i", "--index-url", "--pypi-url"):
            self._index_url = self._address(value, line)
        elif flag == "--extra-index-url":
            self._extra.append(self._address(value, line))
        elif flag == "--prefer-binary" or (flag == "--only-binary" and value == ":all:"):
            return  # wheels only is the rule here
        else:
            self._refuse(line, "pip_option", f"'{flag[:40]}' is not taken.", "Flags: --index-url, --extra-index-url, --pre.")

    def _take_requirement(self, text: str, line: int) -> None:
        shown = text[:80]
        if len(text) > MAX_REQUIREMENT_CHARS:
            self._refuse(line, "bad_requirement", f"A requirement has more than {MAX_REQUIREMENT_CHARS} characters.", _HINT)
        elif _VCS.search(text):
            self._refuse(line, "vcs_requirement", "A requirement from a repository is not taken.", "Publish a wheel and name it.")
        elif is_local_path(text) or text == ".":
            self._refuse(line, "local_path", f"'{shown}' is a local path.", "Publish a wheel and name it.")
        elif "://" in text or "file:" in text.lower():
            self._refuse(line, "url_requirement", "A requirement by address is not taken.", "Publish a wheel and name it.")
        else:
            self._parse(text, line)

    def _parse(self, text: str, line: int) -> None:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError):
            self._refuse(line, "bad_requirement", f"'{text[:80]}' can't be read as a requirement.", _HINT)
            return
        if requirement.url:
            self._refuse(line, "url_requirement", "A requirement by address is not taken.", "Publish a wheel and name it.")
            return
        self.requirements.append(Line(str(requirement), line))

    def _address(self, value: str, line: int) -> str:
        try:
            parts = urlsplit(value)
            acceptable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
            secret = parts.username is not None or parts.password is not None or "@" in parts.netloc
        except ValueError:
            acceptable, secret = False, False
        if secret:
            self._refuse(line, "secret_in_spec", "The index's address holds a password.", "Specifications are read by many; leave it out.")
        elif not acceptable or any(character.isspace() for character in value):
            self._refuse(line, "bad_index_url", "This is not the address of an index.", "For instance '--index-url https://host/simple'.")
        return value

    def _refuse(self, line: int, code: str, detail: str, hint: str) -> None:
        self.note(Problem(line, code, detail, hint))
