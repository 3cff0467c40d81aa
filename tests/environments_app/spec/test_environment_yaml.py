"""environment.yml as people have it is read; what can't be is refused with the line where it stands."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from condahub.errors import HubError
from environments_app.models import SpecificationKind
from environments_app.spec import Spec, SpecInvalid, kind_of, parse, read_environment

HUB = "https://hub.example/base"

WHOLE = """\
# what a team has
name: analysis
description: Numbers, and pictures of them.
channels:
  - forge
  - https://hub.example/base/channels/tools
  - nodefaults
dependencies:
  - python=3.11
  - numpy   >=1.26,<2
  - extra::seaborn
  - 'openssl <3.0.8'
  - pip
  - pip:
      - --index-url https://wheels.example/simple
      - --pre
      - Requests[socks] >=2.31 ; python_version < "3.13"
variables:
  OMP_NUM_THREADS: 1
  RATE: 1.10
  EMPTY:
platforms: [linux-64, osx-arm64]
prefix: /home/somebody/envs/analysis
category: main
"""


def read(text: str) -> Spec:
    return read_environment(text, public_url=HUB)


def refused(text: str) -> tuple[int, str]:
    """Line and code of the first complaint."""
    with pytest.raises(SpecInvalid) as caught:
        read(text)
    error = caught.value
    assert error.status == 422 and error.detail
    first = error.problems[0]
    assert error.detail.startswith(f"Line {first.line}: " if first.line else first.detail)
    return first.line, first.code


def test_all_that_people_write_is_read() -> None:
    spec = read(WHOLE)
    assert spec.name == "analysis"
    assert spec.description == "Numbers, and pictures of them."
    assert [line.text for line in spec.channels] == ["forge", "tools", "extra"]
    assert [line.text for line in spec.dependencies] == ["python=3.11", "numpy >=1.26,<2", "extra::seaborn", "openssl <3.0.8", "pip"]
    assert [line.line for line in spec.dependencies] == [9, 10, 11, 12, 13]
    assert [line.text for line in spec.pip] == ['Requests[socks]>=2.31; python_version < "3.13"']
    assert (spec.pip_options.index_url, spec.pip_options.pre) == ("https://wheels.example/simple", True)
    assert dict(spec.variables) == {"OMP_NUM_THREADS": "1", "RATE": "1.10", "EMPTY": ""}, "as written, never as a number"
    assert [line.text for line in spec.platforms] == ["linux-64", "osx-arm64"]
    assert [(note.line, note.text.split()[0]) for note in spec.notes] == [(23, "'prefix'"), (24, "'category'")]


def test_what_conda_stores_ui_writes_for_nothing_is_nothing() -> None:
    written = "dependencies:\n  - a\nvariables: []\nchannels:\n  - forge\n\ndescription: \nname: x\nprefix: null"
    assert read(written).canonical() == read("name: x\nchannels: [forge]\ndependencies: [a]\n").canonical()


def test_the_layout_does_not_change_what_is_asked_for() -> None:
    other = "dependencies: ['a  >=1']\nchannels: forge\nname: x\n"
    assert read(other).canonical() == read("name: x\nchannels:\n- forge\ndependencies:\n  - a >=1\n").canonical()


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("", 0, "empty_spec"),
        ("just text", 1, "bad_spec"),
        ("- a\n- b\n", 1, "bad_spec"),
        ("name: x\nname: y\n", 2, "double_key"),
        ("name: x\ndependencies:\n  - a\n bad\n", 4, "bad_yaml"),
        ("name: x\n---\nname: y\n", 2, "many_documents"),
        ("a: &a [x]\nb: *a\n", 2, "yaml_alias"),
        ("name: x\n<<: y\n", 2, "yaml_alias"),
        ("name: !!python/object:os.system x\n", 1, "yaml_tag"),
        ("name: x\x07\n", 1, "bad_character"),
        ("name:\n  a: b\n", 2, "bad_value"),
        ("dependencies: python\n", 1, "bad_value"),
        ("dependencies:\n  - 3 4 5 6 ^\n", 2, "bad_dependency"),
        ("dependencies:\n  - '*'\n", 2, "bad_dependency"),
        ("dependencies:\n  -\n", 2, "bad_dependency"),
        ("dependencies:\n  - conda: [x]\n", 2, "bad_dependency"),
        ("dependencies:\n  - ./local.conda\n", 2, "local_path"),
        ("dependencies:\n  - /opt/pkgs/local-1-0.tar.bz2\n", 2, "local_path"),
        ("dependencies:\n  - file:///opt/x.conda\n", 2, "local_path"),
        ("dependencies:\n  - https://else.example/x-1-0.conda\n", 2, "url_dependency"),
        ("dependencies:\n  - https://else.example/ch::numpy\n", 2, "url_dependency"),
        ("dependencies:\n  - \"numpy[url='http:/x']\"\n", 2, "url_dependency"),
        ("dependencies:\n  - numpy-1.0-0.conda\n", 2, "url_dependency"),
        ("channels: [/srv/channel]\n", 1, "local_path"),
        ("channels: ['https://conda.anaconda.org/conda-forge']\n", 1, "foreign_channel"),
        ("channels: ['https://hub.example.evil/base/channels/tools']\n", 1, "foreign_channel"),
        ("channels: ['Forge Two']\n", 1, "bad_channel"),
        ("platforms: [linux-64,\n  amiga-68k]\n", 2, "bad_platform"),
        ("variables: [A]\n", 1, "bad_value"),
        ("variables:\n  A-B: 1\n", 2, "bad_variable"),
        ("variables:\n  A: [1]\n", 2, "bad_variable"),
        ("dependencies:\n  - pip:\n    - -r requirements.txt\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - -rrequirements.txt\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - --requirement=x\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - -c constraints.txt\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - -e .\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - --editable=.\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - -f /wheels\n", 3, "pip_option"),
        ("dependencies:\n  - pip:\n    - .\n", 3, "local_path"),
        ("dependencies:\n  - pip:\n    - ./pkg\n", 3, "local_path"),
        ("dependencies:\n  - pip:\n    - file:///srv/x.whl\n", 3, "local_path"),
        ("dependencies:\n  - pip:\n    - x @ file:///srv/x.whl\n", 3, "url_requirement"),
        ("dependencies:\n  - pip:\n    - git+https://h.example/x.git\n", 3, "vcs_requirement"),
        ("dependencies:\n  - pip:\n    - x @ git+ssh://h.example/x.git\n", 3, "vcs_requirement"),
        ("dependencies:\n  - pip:\n    - https://h.example/x.whl\n", 3, "url_requirement"),
        ("dependencies:\n  - pip:\n    - no such thing\n", 3, "bad_requirement"),
        ("dependencies:\n  - pip:\n    - --index-url https://me:word@h.example/simple\n", 3, "secret_in_spec"),
        ("dependencies:\n  - pip:\n    - --index-url ftp://h.example\n", 3, "bad_index_url"),
    ],
)
def test_what_can_not_be_is_refused_with_its_line(text: str, line: int, code: str) -> None:
    assert refused(text) == (line, code)


def test_every_complaint_comes_at_once_in_the_order_of_the_lines() -> None:
    with pytest.raises(SpecInvalid) as caught:
        read("platforms: [vax]\nchannels: [/a]\ndependencies:\n  - ./x\n  - pip: ['-e .']\n")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 4, 5]
    assert caught.value.detail.endswith("(3 more)")


def test_a_secret_in_an_address_is_not_repeated() -> None:
    with pytest.raises(SpecInvalid) as caught:
        read("channels: ['https://me:hunter2@else.example/t/tk-123/c']\ndependencies:\n- pip: ['-i https://me:hunter2@h.example']\n")
    told = repr([problem.as_dict() for problem in caught.value.problems])
    assert "hunter2" not in told and "tk-123" not in told


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "- " * 100_000, "{a: " * 50_000, "? " * 100_000, "a: [" + "b, " * 80_000 + "]", "x" * 300_000, "&a " * 80_000],
    ids=["brackets", "dashes", "braces", "questions", "long list", "long text", "anchors"],
)
def test_a_bomb_is_refused_at_once(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(SpecInvalid):
        read(text)
    assert time.monotonic() - started < 10


def test_a_lock_file_in_json_is_one_too() -> None:
    assert kind_of('{"version": 1, "package": [], "metadata": {"content_hash": {}}}') == SpecificationKind.CONDA_LOCK
    for text in (
        '{"name": "x", "dependencies": ["a"]}',
        "{name: x, dependencies: [a]}",
        '{"package": ',
        "[" * 100_000,
        '["package", "metadata"]',
    ):
        assert kind_of(text) == SpecificationKind.YAML


def test_lock_files_are_known_by_their_signature() -> None:
    assert kind_of("# made\n@EXPLICIT\nhttps://x/y.conda\n") is SpecificationKind.EXPLICIT
    assert kind_of("version: 6\nenvironments:\n  default: {}\n") is SpecificationKind.PIXI_LOCK
    assert kind_of("version: 1\nmetadata:\n  content_hash:\n    linux-64: x\n") is SpecificationKind.CONDA_LOCK
    assert kind_of(WHOLE) is SpecificationKind.YAML
    with pytest.raises(SpecInvalid, match="names no package"):
        parse("@EXPLICIT\n", public_url=HUB)
    kind, spec = parse("@EXPLICIT\nhttps://x/forge/noarch/y-1-0.conda\n", public_url=HUB)
    assert kind is SpecificationKind.EXPLICIT
    assert ([line.text for line in spec.channels], [line.text for line in spec.platforms]) == (["forge"], ["linux-64"])


WORDS = ("name", "channels", "dependencies", "pip", "variables", "platforms", "python >=3", "-r", "-e .", "git+", "::", "==", "@", "~")
MARKS = (
    ":",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "&a",
    "*a",
    "!!x",
    "|",
    ">",
    "#",
    "\t",
    "é",
    "\U0001f600",
    "%",
    "?",
)
PIECES = st.sampled_from(WORDS + MARKS)


@settings(max_examples=250, deadline=None)
@given(
    st.one_of(
        st.text(max_size=300), st.lists(PIECES, max_size=60).map("".join), st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))
    )
)
@example("dependencies:\n- pip:\n  - --index-url http://[::1\n")
@example("channels: ['http://[']\n")
@example("\ud800")
def test_any_text_gives_a_spec_or_an_error_with_a_line(text: str) -> None:
    try:
        spec = read(text)
    except HubError as error:
        assert isinstance(error, SpecInvalid)
        assert all(0 <= problem.line <= text.count("\n") + text.count("\r") + 2 for problem in error.problems)
    else:
        assert isinstance(spec, Spec)
        spec.canonical()
