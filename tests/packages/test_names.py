"""File names and subdirs are taken as CEP-26 has them, and as channels in use have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condahub.packages.errors import BadFilename, BadSubdir
from condahub.packages.names import MAX_FILENAME_CHARS, MAX_PART_CHARS, check_subdir, split_filename


@pytest.mark.parametrize(
    ("filename", "parts"),
    [
        ("numpy-2.0.1-py311h0_0.conda", ("numpy", "2.0.1", "py311h0_0", ".conda")),
        ("_libgcc_mutex-0.1-main.tar.bz2", ("_libgcc_mutex", "0.1", "main", ".tar.bz2")),
        ("conda-forge-repodata-patches-20180828-0.tar.bz2", ("conda-forge-repodata-patches", "20180828", "0", ".tar.bz2")),
        (
            "breseq-prerelease-0.40.1.dev104+gfd7833dd-gfd7833dd.conda",
            ("breseq-prerelease", "0.40.1.dev104+gfd7833dd", "gfd7833dd", ".conda"),
        ),
        ("r-base-1!4.3-h0_0.conda", ("r-base", "1!4.3", "h0_0", ".conda")),
        ("libstdcxx-ng-13.2.0-h_7.conda", ("libstdcxx-ng", "13.2.0", "h_7", ".conda")),
    ],
)
def test_a_file_name_is_taken_apart(filename: str, parts: tuple[str, ...]) -> None:
    split = split_filename(filename)
    assert (split.name, split.version, split.build, split.extension) == parts
    assert str(split) == filename


@pytest.mark.parametrize(
    "filename",
    [
        "", "demo", "demo.conda", "demo-1.0.conda", "-1.0-0.conda", "demo--0.conda", "demo-1.0-.conda", "demo-1.0-0.exe",
        "demo-1.0-0.conda.zip", "Demo-1.0-0.conda", "../demo-1.0-0.conda", "a/b-1.0-0.conda", "demo-1.0-0\n.conda", "demo-1 0-0.conda",
        "dé-1.0-0.conda", "__cuda-1.0-0.conda", "demo-1.0-0.CONDA", "demo-1.0-a%2f.conda", "demo-1.0\x00-0.conda", ".conda",
        "n" * (MAX_PART_CHARS + 1) + "-1-0.conda", "n-" + "1" * (MAX_PART_CHARS + 1) + "-0.conda",
        "n-1-" + "b" * (MAX_PART_CHARS + 1) + ".conda",
        "n" * MAX_FILENAME_CHARS + "-1-0.conda",
    ],
)  # fmt: skip
def test_another_file_name_is_refused(filename: str) -> None:
    with pytest.raises(BadFilename) as refusal:
        split_filename(filename)
    assert (refusal.value.status, refusal.value.code) == (422, "invalid_filename")
    assert refusal.value.detail.isprintable()


@given(st.text(max_size=300))
def test_any_text_is_a_file_name_or_refused(text: str) -> None:
    for filename in (text, text + ".conda", f"{text}-1-0.tar.bz2"):
        try:
            said = str(split_filename(filename))
        except BadFilename as refusal:
            said = refusal.detail
        assert said == filename or said.isprintable()


@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "osx-arm64", "win-64", "linux-ppc64le", "emscripten-wasm32"])
def test_subdirs(subdir: str) -> None:
    assert check_subdir(subdir) == subdir


@pytest.mark.parametrize(
    "subdir", ["", "linux", "Linux-64", "linux-64/", "../linux-64", "linux-64-x", "linux_64", "a" * 64 + "-64", "noarch\n"]
)
def test_another_subdir_is_refused(subdir: str) -> None:
    with pytest.raises(BadSubdir):
        check_subdir(subdir)
