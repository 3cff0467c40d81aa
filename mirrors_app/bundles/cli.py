"""`condahub bundle` and `condahub keys`: bundles checked without a hub; keys of a hub, or in a folder of one's own."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from condahub.cli.exits import Failure, Usage
from condahub.cli.session import Session, cell, remote, size_text
from condahub.errors import HubError
from mirrors_app.bundles.core import keys
from mirrors_app.bundles.core.keys import PrivateKey, Trusted
from mirrors_app.bundles.core.manifest import Manifest, digest, read_manifest
from mirrors_app.bundles.core.reader import BundleFolder, verify

FOLDER = click.Path(path_type=Path, file_okay=False)
TRUST_FILE = "trusted.json"
_FOLDER_OPTION = click.option("--folder", type=FOLDER, help="Of this folder, without a hub: private keys in files of mode 0600.")


@click.group()
def bundle() -> None:
    """Look at and check what is carried over an air gap; no hub is needed."""


@bundle.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--trust", "trusted", multiple=True, metavar="KEY", help="A public key: 64 hex digits, or a PEM file. May be repeated.")
@click.option("--keys", "keys_folder", type=FOLDER, help="The folder of `condahub keys --folder`, whose trusted keys count.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def verify_bundle(folder: Path, trusted: tuple[str, ...], keys_folder: Path | None, as_json: bool) -> None:
    """Read every byte of the bundle in FOLDER: is it whole, and signed by a key that you trust?"""
    click.get_current_context().find_root().meta["condahub.json"] = as_json
    known = [Trusted("given", _public(text)) for text in trusted] + (_trusted_of(keys_folder) if keys_folder is not None else [])
    if not known:
        raise Usage("No key is trusted, so nothing can be verified.", hint="Give --trust KEY or --keys FOLDER; the key's keeper tells it.")
    try:
        place = BundleFolder(folder)
        raw, signature = place.manifest()
        manifest, signer = keys.open_manifest(raw, signature, known)
        checked = verify(place, manifest)
    except HubError as error:
        raise Failure(error.detail, hint=error.hint, code=error.code) from error
    except OSError as error:
        raise Failure(f"The bundle can't be read: {error.strerror}.", code="unreadable") from error
    told = {**_summary(manifest, raw), "files": checked.files, "verified_bytes": checked.bytes, "trusted_as": signer.name}
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _print(told)
        click.echo("The bundle is whole, and signed by a key that you trust.")


@bundle.command("show")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show_bundle(folder: Path, as_json: bool) -> None:
    """What the bundle in FOLDER says of itself; nothing of it is verified."""
    click.get_current_context().find_root().meta["condahub.json"] = as_json
    try:
        raw, _ = BundleFolder(folder).manifest()
        told = _summary(read_manifest(raw), raw)
    except HubError as error:
        raise Failure(error.detail, hint=error.hint, code=error.code) from error
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _print(told)
        click.echo("Nothing of this was verified: condahub bundle verify does that.")


def _summary(manifest: Manifest, raw: bytes) -> dict[str, Any]:
    return {
        "kind": manifest.subject.kind,
        "name": manifest.subject.name,
        "stream": manifest.subject.stream,
        "sequence": manifest.sequence,
        "from": manifest.base.revision if manifest.base else None,
        "to": manifest.head.revision,
        "packages": manifest.counts.packages,
        "records": manifest.counts.put,
        "removals": manifest.counts.take,
        "left_out": manifest.counts.left_out,
        "parts": len(manifest.parts),
        "bytes": manifest.size,
        "made_at": manifest.made_at,
        "signer": manifest.signer.name,
        "key": manifest.signer.key,
        "manifest": digest(raw),
    }


def _print(told: dict[str, Any]) -> None:
    for label, value in told.items():
        if value not in (None, ""):
            text = size_text(value) if label in ("bytes", "verified_bytes") else cell(value)
            click.echo(f"{label.replace('_', ' '):<15} {text}")


def _public(text: str) -> str:
    """Hex, PEM, or a file that holds one of them."""
    path = Path(text)
    try:
        return keys.read_public(path.read_text() if len(text) != 64 and "\n" not in text and path.is_file() else text)
    except HubError as error:
        raise Failure(error.detail, hint=error.hint, code=error.code) from error
    except (OSError, UnicodeDecodeError):
        raise Failure(f"'{text}' can't be read.", code="unreadable") from None


@click.group("keys")
def keys_group() -> None:
    """Keys that sign bundles, and keys whose bundles are taken: create, rotate, trust, follow, list, revoke."""


@keys_group.command()
@click.argument("name")
@click.option("--afresh", is_flag=True, help="Also where a key signs: the new one is vouched for by no other.")
@_FOLDER_OPTION
@remote
def create(session: Session, name: str, afresh: bool, folder: Path | None) -> None:
    """Make the first key. Its private half stays on the hub, sealed."""
    if folder is not None:
        made = _local(lambda: _create_local(folder, name))
    else:
        with session.connect() as hub:
            made = hub.post("signing-keys", {"name": name, "afresh": afresh})
    _show_made(session, made)


@keys_group.command()
@click.argument("name")
@click.option("--old", help="With --folder: the name of the key that hands over.")
@_FOLDER_OPTION
@remote
def rotate(session: Session, name: str, old: str | None, folder: Path | None) -> None:
    """Let a new key follow the one that signs now. Importers are told: condahub keys follow."""
    if folder is not None:
        if old is None:
            raise Usage("Say which key hands over.", hint="--old NAME")
        made = _local(lambda: _rotate_local(folder, old, name))
    else:
        with session.connect() as hub:
            made = hub.post("signing-keys/rotate", {"name": name})
    _show_made(session, made)
    session.note("Give importers the rotation: `condahub keys list --json` holds it, and so does every bundle that the new key signs.")


@keys_group.command()
@click.argument("name")
@click.argument("key")
@_FOLDER_OPTION
@remote
def trust(session: Session, name: str, key: str, folder: Path | None) -> None:
    """Take bundles signed by KEY (64 hex digits, PEM, or a file of either). Compare it with its keeper by another way first."""
    public = _public(key)
    if folder is not None:
        made = _local(lambda: _trust_local(folder, name, public))
    else:
        with session.connect() as hub:
            made = hub.post("trusted-keys", {"name": name, "public": public})
    session.show(made, f"Bundles of '{made['name']}' are taken from now on: {keys.fingerprint(made['public'])}")


@keys_group.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@_FOLDER_OPTION
@remote
def follow(session: Session, source: Path, folder: Path | None) -> None:
    """Trust the key that a trusted one hands over to. SOURCE: a bundle's folder, or a file of rotations."""
    rotations = _rotations_in(source)
    if folder is not None:
        made = _local(lambda: _follow_local(folder, rotations))
    else:
        with session.connect() as hub:
            made = hub.post("trusted-keys/follow", {"rotations": rotations})
    session.show(made, f"'{made['name']}' follows a key that is trusted: {keys.fingerprint(made['public'])}")


@keys_group.command("list")
@click.option("--pem", is_flag=True, help="Print the public keys as PEM.")
@_FOLDER_OPTION
@remote
def list_keys(session: Session, pem: bool, folder: Path | None) -> None:
    """The keys that sign, and those that are trusted."""
    if folder is not None:
        rows = _local(lambda: _list_local(folder))
    else:
        with session.connect() as hub:
            signing = [{**row, "what": "signs" if row["signs"] else "signed"} for row in hub.pages("signing-keys")]
            rows = signing + [{**row, "what": "trusted"} for row in hub.pages("trusted-keys")]
    if pem and not session.as_json:
        for row in rows:
            click.echo(f"# {row['what']}: {row['name']}\n{keys.public_pem(row['public']).decode()}", nl=False)
        return
    columns = [("ID", "id"), ("WHAT", "what"), ("NAME", "name"), ("PUBLIC KEY", "public"), ("REVOKED", "revoked_at")]
    session.table(rows, columns, empty="There are no keys.")


@keys_group.command()
@click.argument("number", type=int)
@click.option("--signing", is_flag=True, help="One of the hub's own keys; else a trusted one.")
@remote
def revoke(session: Session, number: int, signing: bool) -> None:
    """Trust the key NUMBER no more; or, with --signing, let go of the hub's own."""
    with session.connect() as hub:
        hub.delete(f"{'signing' if signing else 'trusted'}-keys/{number}")
    session.show({"id": number, "revoked": True}, f"Revoked {number}.")


def _show_made(session: Session, made: dict[str, Any]) -> None:
    session.show(
        made, f"'{made['name']}' signs from now on.\nPublic key   {made['public']}\nFingerprint  {keys.fingerprint(made['public'])}"
    )


def _rotations_in(source: Path) -> list[Any]:
    try:
        if source.is_dir():
            return read_manifest(BundleFolder(source).manifest()[0]).rotations
        found = orjson.loads(source.read_bytes())
    except (HubError, ValueError, OSError):
        raise Failure(f"'{source}' holds no rotations.", code="unreadable") from None
    rotations = found if isinstance(found, list) else [found]
    # What `keys list --json` prints is taken as well.
    return [one.get("rotation", one) for one in rotations if isinstance(one, dict) and one.get("rotation", one)]


# -- a folder of keys, without a hub -------------------------------------------------------------------------------------


def _local(action: Any) -> Any:
    try:
        return action()
    except HubError as error:
        raise Failure(error.detail, hint=error.hint, code=error.code) from error
    except OSError as error:
        raise Failure(f"The folder can't be used: {error.strerror}.", code="unwritable") from error


def _create_local(folder: Path, name: str) -> dict[str, Any]:
    return _store_local(folder, keys.check_name(name), PrivateKey.generate(), {})


def _rotate_local(folder: Path, old: str, name: str) -> dict[str, Any]:
    before = PrivateKey.from_pem((folder / f"{keys.check_name(old)}.key").read_bytes())
    new = PrivateKey.generate()
    statement = keys.rotate(old=before, new=new, name=name, made_at=datetime.now(UTC))
    return _store_local(folder, keys.check_name(name), new, statement.as_dict())


def _store_local(folder: Path, name: str, key: PrivateKey, rotation: dict[str, Any]) -> dict[str, Any]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failure(f"There is a key '{name}' already.", code="key_exists") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.to_pem())
    (folder / f"{name}.pub").write_bytes(keys.public_pem(key.public))
    if rotation:
        (folder / f"{name}.rotation.json").write_bytes(orjson.dumps([rotation], option=orjson.OPT_INDENT_2))
    return {"name": name, "public": key.public, "rotation": rotation}


def _trusted_of(folder: Path) -> list[Trusted]:
    path = folder / TRUST_FILE
    if not path.is_file():
        return []
    try:
        return [Trusted(one["name"], keys.read_public(one["public"]), one["added_at"]) for one in orjson.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError):
        raise Failure(f"'{path}' can't be read.", code="unreadable") from None


def _trust_local(folder: Path, name: str, public: str) -> dict[str, Any]:
    known = {one.public: one for one in _trusted_of(folder)}
    known[public] = Trusted(keys.check_name(name), public, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [{"name": one.name, "public": one.public, "added_at": one.added_at} for one in known.values()]
    written = folder / f".{TRUST_FILE}.new"
    written.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    written.replace(folder / TRUST_FILE)
    return {"name": name, "public": public}


def _follow_local(folder: Path, rotations: list[Any]) -> dict[str, Any]:
    known = {one.public: one for one in _trusted_of(folder)}
    for statement in (keys.read_rotation(value) for value in reversed(rotations)):
        if keys.path_to(statement.new, rotations, known):
            return _trust_local(folder, statement.name, statement.new)
    raise Failure("None of these keys follows one that is trusted here.", code="bundle_untrusted", hint="condahub keys trust names one.")


def _list_local(folder: Path) -> list[dict[str, Any]]:
    own = [
        {"what": "signs", "name": path.stem, "public": PrivateKey.from_pem(path.read_bytes()).public}
        for path in sorted(folder.glob("*.key"))
    ]
    return own + [{"what": "trusted", "name": one.name, "public": one.public, "added_at": one.added_at} for one in _trusted_of(folder)]
