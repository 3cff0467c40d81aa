"""What a bundle is: bounded parts of plain tar under a signed canonical manifest, in which no byte can change unseen."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condahub.errors import Unprocessable
from mirrors_app.bundles.core import canonical, tar
from mirrors_app.bundles.core.errors import BundleRefused
from mirrors_app.bundles.core.keys import PrivateKey, Trusted, is_signed, open_manifest, public_pem, read_public, rotate
from mirrors_app.bundles.core.layout import MIN_PART_BYTES, BundleFile, lay_out
from mirrors_app.bundles.core.manifest import Manifest, Member, Part, read_manifest
from mirrors_app.bundles.core.reader import BundleFolder, read_file, verify
from mirrors_app.bundles.core.records import Entry, read_entry
from tests.mirrors_app.bundles.making import make_bundle, write_manifest

KEY = PrivateKey.generate()
TRUSTED = [Trusted("upstairs", KEY.public)]
LONG = "packages/noarch/" + "_".join(["a-very-long-name-indeed"] * 2) + f"-1.0-{'b' * 60}.conda"
FILES = {
    "records/noarch-00001.jsonl": b'{"a":1}\n' * 200,
    "packages/noarch/one-1.0-0.conda": bytes(range(256)) * 10,
    LONG: b"long" * 1000,
    "packages/linux-64/large-1!2.0-h_0.tar.bz2": random.Random(7).randbytes(3 * MIN_PART_BYTES),
    "packages/linux-64/_empty-1.0-0.conda": b"",
    "documents/policies.json": b"{}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle", FILES, KEY)
    return tmp_path / "bundle"


def read(folder: Path, trusted: list[Trusted] | None = None) -> Manifest:
    place = BundleFolder(folder)
    manifest, _ = open_manifest(*place.manifest(), TRUSTED if trusted is None else trusted)
    verify(place, manifest)
    return manifest


def refusal(folder: Path, trusted: list[Trusted] | None = None) -> str:
    with pytest.raises(BundleRefused) as caught:
        read(folder, trusted)
    return caught.value.code


def test_what_was_put_in_comes_out_whole(folder: Path) -> None:
    manifest = read(folder)
    place = BundleFolder(folder)
    assert {path: read_file(place, manifest, path) for path in FILES} == FILES


def test_no_part_is_larger_than_the_bound_and_a_large_file_is_cut(folder: Path) -> None:
    parts = sorted(folder.glob("part-*.tar"))
    assert len(parts) >= 4
    assert all(part.stat().st_size <= MIN_PART_BYTES for part in parts)


def test_anybody_can_look_inside_with_tar(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for part in sorted(folder.glob("part-*.tar")):
        subprocess.run(["tar", "-xf", part, "-C", out], check=True)
    assert (out / LONG).read_bytes() == FILES[LONG]
    pieces = sorted(out.glob("packages/linux-64/large-*.piece-*"))
    assert b"".join(piece.read_bytes() for piece in pieces) == FILES["packages/linux-64/large-1!2.0-h_0.tar.bz2"]
    with tarfile.open(folder / "part-0001.tar") as opened:
        assert all(member.isreg() and member.mode == 0o644 and member.mtime == 0 for member in opened)


def test_openssl_checks_the_signature_and_sha256sum_the_parts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(public_pem(KEY.public))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.pem", "-rawin", "-in", "manifest.json"]
    said = subprocess.run([*command, "-sigfile", "manifest.sig"], cwd=folder, capture_output=True, text=True, check=True)
    assert "Verified Successfully" in said.stdout
    sums = "".join(f"{part['sha256']}  {part['name']}\n" for part in json.loads((folder / "manifest.json").read_bytes())["parts"])
    subprocess.run(["sha256sum", "--check", "--strict"], cwd=folder, input=sums, text=True, check=True, capture_output=True)
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes().replace(b"tools", b"fools"))
    assert subprocess.run([*command, "-sigfile", "manifest.sig"], cwd=folder, capture_output=True, check=False).returncode != 0


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        make_bundle(folder, {path: data[: MIN_PART_BYTES + 5000] for path, data in FILES.items()}, KEY)
    chosen = data.draw(st.sampled_from(sorted(folder.iterdir())))
    position = data.draw(st.integers(0, chosen.stat().st_size - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    with chosen.open("r+b") as file:
        file.seek(position)
        [before] = file.read(1)
        file.seek(position)
        file.write(bytes([before ^ bit]))
    try:
        assert refusal(folder) in ("bundle_signature", "bundle_damaged")
    finally:
        with chosen.open("r+b") as file:
            file.seek(position)
            file.write(bytes([before]))


@pytest.mark.parametrize("change", ["cut", "longer", "missing"])
def test_a_part_that_is_cut_longer_or_missing_is_refused(folder: Path, change: str) -> None:
    part = folder / "part-0002.tar"
    if change == "cut":
        part.write_bytes(part.read_bytes()[:-512])
    elif change == "longer":
        part.write_bytes(part.read_bytes() + bytes(512))
    else:
        part.unlink()
    assert refusal(folder) == ("bundle_incomplete" if change == "missing" else "bundle_damaged")


def _hostile(kind: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("packages/noarch/one-1.0-0.conda")
    if kind == "symbolic link":
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    elif kind == "hard link":
        info.type, info.linkname = tarfile.LNKTYPE, "../../etc/passwd"
    elif kind == "sparse":
        info.type = tarfile.GNUTYPE_SPARSE
    elif kind == "device":
        info.type = tarfile.CHRTYPE
    elif kind == "directory":
        info.type = tarfile.DIRTYPE
    else:
        info.name = kind
    return info


@pytest.mark.parametrize(
    "kind", ["symbolic link", "hard link", "sparse", "device", "directory", "../outside-1.0-0.conda", "/etc/outside-1.0-0.conda"]
)
def test_a_part_is_no_other_tar_even_under_a_right_digest(tmp_path: Path, kind: str) -> None:
    """A signer may be wrong, or a key stolen: the manifest names a regular file, and the part holds another kind of member."""
    import hashlib

    folder = tmp_path / "bundle"
    manifest = make_bundle(folder, {"packages/noarch/one-1.0-0.conda": b""}, KEY)
    block = _hostile(kind).tobuf(tarfile.USTAR_FORMAT)
    raw = block + tar.END
    (folder / "part-0001.tar").write_bytes(raw)
    part = msgspec.structs.replace(manifest.parts[0], sha256=hashlib.sha256(raw).hexdigest())
    write_manifest(folder, msgspec.structs.replace(manifest, parts=[part]), KEY)
    assert refusal(folder) == "bundle_damaged"


@pytest.mark.parametrize(
    "path",
    [
        "../up-1.0-0.conda",
        "packages/../../up-1.0-0.conda",
        "/packages/noarch/one-1.0-0.conda",
        "packages/noarch/.hidden-1.0-0.conda",
        "packages/noarch/one.exe",
        "packages/one-1.0-0.conda",
        "packages/noarch/Capital-1.0-0.conda",
        "other/file",
        "records",
        "records/a\\b",
        "records/a\x00b",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_whoever_signed_it(tmp_path: Path, path: str) -> None:
    member = Member(path=path, size=0, sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    size = tar.entry_bytes(path, 0) + len(tar.END)
    make_bundle(tmp_path / "bundle", {}, KEY, parts=[Part(name="part-0001.tar", size=size, sha256="b" * 64, members=[member])])
    assert refusal(tmp_path / "bundle") == "bundle_manifest"


def test_only_the_canonical_spelling_of_a_manifest_is_read(folder: Path) -> None:
    table = json.loads((folder / "manifest.json").read_bytes())
    for spelled in (json.dumps(table).encode(), b" " + canonical.encode(table), canonical.encode(table)[:-1] + b',"version":1}'):
        (folder / "manifest.json").write_bytes(spelled)
        (folder / "manifest.sig").write_bytes(KEY.sign(spelled))
        assert refusal(folder) == "bundle_manifest"
    newer = canonical.encode({**table, "version": 2})
    (folder / "manifest.json").write_bytes(newer)
    (folder / "manifest.sig").write_bytes(KEY.sign(newer))
    assert refusal(folder) == "bundle_version"


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet=st.characters(max_codepoint=127)), inner),
    max_leaves=20,
)


@given(_json)
def test_canonical_bytes_are_those_of_rfc_8785(value: object) -> None:
    """Python's own writer spells strings and keys as JCS does; its section 3.2.2 gives the rules."""
    assert canonical.encode(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    assert canonical.decode(canonical.encode(value)) == value


@pytest.mark.parametrize("value", [1.5, 2**53, {"ä": 1}, b"x"])
def test_what_jcs_would_spell_otherwise_is_not_signed(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical.encode(value)


def test_an_unknown_key_is_refused_by_name_of_what_to_do(folder: Path) -> None:
    assert refusal(folder, [Trusted("other", PrivateKey.generate().public)]) == "bundle_untrusted"
    assert refusal(folder, []) == "bundle_untrusted"


def test_a_rotated_key_is_told_apart_and_not_followed_by_itself(tmp_path: Path) -> None:
    new, between = PrivateKey.generate(), PrivateKey.generate()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    chain = [rotate(old=KEY, new=between, name="second", made_at=now), rotate(old=between, new=new, name="third", made_at=now)]
    make_bundle(tmp_path / "bundle", FILES, new, rotations=[one.as_dict() for one in chain])
    assert refusal(tmp_path / "bundle") == "bundle_key_rotated"
    assert refusal(tmp_path / "bundle", [Trusted("stranger", PrivateKey.generate().public)]) == "bundle_untrusted"
    assert read(tmp_path / "bundle", [Trusted("third", new.public)])
    forged = {**chain[1].as_dict(), "old": KEY.public}
    make_bundle(tmp_path / "forged", FILES, new, rotations=[forged])
    assert refusal(tmp_path / "forged") == "bundle_untrusted"


def test_a_signature_by_a_trusted_key_under_another_name_is_refused(folder: Path) -> None:
    other = PrivateKey.generate()
    manifest = read(folder)
    write_manifest(folder, manifest, other)
    assert refusal(folder, [Trusted("other", other.public)]) == "bundle_signature"


def test_keys_are_read_as_openssl_writes_them(tmp_path: Path) -> None:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "key.pem"], check=True)
    made = subprocess.run(["openssl", "pkey", "-in", tmp_path / "key.pem", "-pubout"], check=True, capture_output=True, text=True)
    key = PrivateKey.from_pem((tmp_path / "key.pem").read_bytes())
    assert read_public(made.stdout) == key.public
    assert is_signed(b"text", key.sign(b"text"), key.public) and not is_signed(b"other", key.sign(b"text"), key.public)
    assert key.to_pem().decode() not in repr(key) + str(vars(PrivateKey))
    with pytest.raises(Unprocessable):
        read_public("no key")


@given(sizes=st.lists(st.integers(0, 5 * MIN_PART_BYTES), max_size=12), bound=st.integers(MIN_PART_BYTES, 4 * MIN_PART_BYTES))
def test_any_files_fit_into_bounded_parts_in_order(sizes: list[int], bound: int) -> None:
    files = [BundleFile(f"packages/noarch/p{number}-1-0.conda", size, "c" * 64) for number, size in enumerate(sizes)]
    reached: dict[str, int] = {file.path: 0 for file in files}
    for number, plan in enumerate(lay_out(files, part_bytes=bound), start=1):
        assert plan.number == number and plan.size <= bound
        assert plan.size == sum(tar.entry_bytes(piece.path, piece.size) for piece in plan.pieces) + len(tar.END)
        for piece in plan.pieces:
            assert piece.offset == reached[piece.file.path]
            reached[piece.file.path] += piece.size
    assert reached == {file.path: file.size for file in files}


RECORD = {
    "name": "one",
    "version": "1.0",
    "build": "0",
    "build_number": 0,
    "subdir": "noarch",
    "sha256": "d" * 64,
    "size": 5,
    "x": {"y": 2**60},
}


def _line(**changes: object) -> bytes:
    record = canonical_text({**RECORD, **changes})
    entry = Entry(subdir="noarch", filename="one-1.0-0.conda", sha256="d" * 64, md5="", size=5, record=record)
    return msgspec.json.encode(entry)


def canonical_text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def test_a_record_keeps_unknown_keys_and_is_of_its_file() -> None:
    assert json.loads(read_entry(_line()).record) == RECORD
    for wrong in ({"name": "two"}, {"sha256": "e" * 64}, {"size": 6}, {"subdir": "linux-64"}, {"depends": "python"}, {"build_number": "0"}):
        with pytest.raises(BundleRefused):
            read_entry(_line(**wrong))


def test_a_manifest_says_what_its_bytes_say(folder: Path) -> None:
    raw = (folder / "manifest.json").read_bytes()
    assert read_manifest(raw).to_bytes() == raw
    shutil.rmtree(folder)
    assert refusal(folder) == "bundle_incomplete"
