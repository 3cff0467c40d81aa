"""Who may come through the doors of conda's clients, in the web and in the byte-serving process: packages, indexes, the past, all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels_app.models import PackageFile, Shard
from channels_app.services import attesting
from channels_app.services.channels import create_channel
from channels_app.services.virtual import create_virtual
from condahub.accounts.policy import Actor
from tests.api.conftest import World, _fresh_memories, world
from tests.api.test_access_table import COLUMNS
from tests.attested import make_bundle
from tests.channels_app.doors_of import ask
from tests.doors import rows, surprise

__all__ = ["_fresh_memories", "world"]

# What serves bytes closes its connections as it pleases.
pytestmark = pytest.mark.django_db(transaction=True)

# The letters are those of the table of the REST API. {private}, {internal} and {public} are channels' visibilities, {virtual} is made of
# the private and the public one, {absent} is none.
TABLE = """
GET    channels/{private}/{subdir}/{filename}                  - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/{sidecar}                   - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/repodata.json               - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/repodata.json.zst           - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/current_repodata.json       - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/run_exports.json            - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/repodata_shards.msgpack.zst  - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/shards/{shard}              - - r c m o s x R I - C M O F
GET    channels/{private}/channeldata.json                     - - r c m o s x R I - C M O F
GET    channels/{private}/notices.json                         - - r c m o s x R I - C M O F
GET    channels/{private}/                                     - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/                            - - r c m o s x R I - C M O F
GET    channels/{private}@2/{subdir}/repodata.json             - - r c m o s x R I - C M O F
GET    channels/{private}@2/{subdir}/{filename}                - - r c m o s x R I - C M O F
GET    channels/{private}/{subdir}/nothing-1.0-0.conda         - - 0 0 0 0 0 0 0 0 - 0 0 0 0
GET    channels/{internal}/{subdir}/{within}                   - u r c m o s x R I - C M O F
GET    channels/{internal}/{subdir}/repodata.json              - u r c m o s x R I - C M O F
GET    channels/{public}/{subdir}/{open}                       a u r c m o s x R I U C M O F
GET    channels/{public}/{subdir}/repodata.json                a u r c m o s x R I U C M O F
GET    channels/{public}/{subdir}/nothing-1.0-0.conda          0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
GET    channels/{public}/{subdir}/shards/{shard}               0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
GET    channels/{virtual}/{subdir}/{filename}                  - - r c m o s x R I - C M O F
GET    channels/{virtual}/{subdir}/repodata.json               - - r c m o s x R I - C M O F
GET    channels/{absent}/{subdir}/{filename}                   - - - - - - - - - - - - - - -
GET    channels/{absent}/{subdir}/repodata.json                - - - - - - - - - - - - - - -
GET    get/{private}/{subdir}/{filename}                       - - r c m o s x R I - C M O F
GET    get/{private}/{subdir}/repodata.json                    - - r c m o s x R I - C M O F
GET    get/{public}/{subdir}/repodata.json                     a u r c m o s x R I U C M O F
"""
# What the byte-serving process answers besides: whether it lives.
DATA = """
GET    livez                                                   a u r c m o s x R I U C M O F
GET    readyz                                                  a u r c m o s x R I U C M O F
"""
ELSEWHERE = [
    "/metrics",
    "/api/hub/v1/me",
    "/api/channels",
    "/ui/",
    "/admin/",
    "/accounts/login/",
    "/conda-store/api/v1/build",
    "/health/live",
]


@pytest.fixture
def values(world: World) -> dict[str, Any]:
    """What stands for the names in the table's paths."""
    owner = Actor.of(world.people["owner"])
    internal = create_channel(actor=owner, organization=world.acme, name="between", visibility="internal")
    world.push(internal, name="within", version="1.0")
    create_virtual(actor=owner, organization=world.acme, name="joined", members=["inner", "outer"])
    file = PackageFile.objects.get(filename="inside-1.0-0.conda")
    bundle = json.dumps(make_bundle(file.filename, file.sha256)).encode()
    sidecar = attesting.attest(actor=owner, channel=world.inner, subdir="noarch", filename=file.filename, content=bundle)
    shard = bytes(Shard.objects.filter(channel=world.inner).latest("pk").sha256).hex()
    return {
        "absent": "never-heard-of",
        "filename": file.filename,
        "internal": "between",
        "open": "open-1.0-0.conda",
        "private": "inner",
        "public": "outer",
        "shard": f"{shard}.msgpack.zst",
        "sidecar": f"{file.filename}.sigs.{sidecar.sha256}",
        "subdir": "noarch",
        "virtual": "joined",
        "within": "within-1.0-0.conda",
    }


def secrets(world: World) -> dict[str, str]:
    return {column: world.secret(*who) if who else "" for column, who in COLUMNS.items()}


@pytest.mark.parametrize("data", [False, True], ids=["web", "data"])
def test_the_table_is_what_happens(world: World, values: dict[str, Any], data: bool) -> None:
    wrong = []
    for row in rows(TABLE + DATA):
        path = "/" + row.path.format_map(values)
        for column, secret in secrets(world).items():
            by_header = ask(path, data=data, **({"Authorization": f"Bearer {secret}"} if secret else {}))
            by_path = ask(f"/t/{secret}{path}", data=data)
            wrong += [surprise(row, column, one.status, one.headers.get("Location", "")) for one in (by_header, by_path)]
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_the_byte_serving_process_has_no_other_door_and_changes_nothing(world: World, values: dict[str, Any]) -> None:
    staff = {"Authorization": f"Bearer {world.secret('staff')}"}
    assert {path: ask(path, data=True, **staff).status for path in ELSEWHERE} == dict.fromkeys(ELSEWHERE, 404)
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert ask("/channels/inner/noarch/fresh-1.0-0.conda", data=True, method=method, **staff).status == 405
