"""Who may come through each door of the REST API: one table, and every URL has its row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver

from channels_app.models import PackageFile
from channels_app.services import applying
from channels_app.services.channels import create_channel
from channels_app.services.policies import set_policy, waive
from channels_app.services.requests import ask
from channels_app.services.scopes import Scope
from channels_app.services.virtual import create_virtual, reserve
from condahub.accounts import services
from condahub.accounts.permissions import SCOPE_BUNDLES
from condahub.accounts.policy import Actor
from condahub.events import services as events
from condahub.events.models import Delivery, DeliveryState, InboxItem
from condahub.jobs.models import Job
from condahub.packages.maker import make_package
from condahub.urls import REST_URLS
from mirrors_app.bundles import exporting, importing, signing
from mirrors_app.bundles.core.keys import PrivateKey, rotate
from mirrors_app.models import BundleExport, BundleImport, ExportState, ImportState, RunState, SyncRun
from mirrors_app.services import mirrors, runs
from mirrors_app.services.mirrors import UpstreamSpec
from tests.api.conftest import ROOT, Api, World
from tests.attested import make_bundle
from tests.environments_app.building import make_environments

pytestmark = pytest.mark.django_db

# A letter: the request succeeds (2xx). A dash: refused, with 401 for anonymous and 403 for all others.
#   a anonymous   u somebody outside   r reader   c contributor   m maintainer   o owner of the organization   s staff   x auditor
#   R I U C M O F tokens of the owner with each bundle of scopes: read, ci, upload, contribute, maintain, own, full
# {channel} is private, {public} is public; both belong to the organization {organization}.
TABLE = """
GET    hub                                                     a u r c m o s x R I U C M O F
GET    schema                                                  a u r c m o s x R I U C M O F
GET    permissions                                             a u r c m o s x R I U C M O F
GET    me                                                      - u r c m o s x R I U C M O F
GET    users                                                   - u r c m o s x R I U C M O F
POST   users                                                   - - - - - - s - - - - - - - -
GET    users/{username}                                        - - - - - - s - - - - - - - -
PATCH  users/{username}                                        - - - - - - s - - - - - - - -
DELETE users/{username}                                        - - - - - - s - - - - - - - -
GET    organizations                                           - u r c m o s x R I U C M O F
POST   organizations                                           - - - - - - s - - - - - - - -
GET    organizations/{organization}                            - - r c m o s x R I - C M O F
PATCH  organizations/{organization}                            - - - - - o s - - - - - - O F
DELETE organizations/{organization}                            - - - - - o s - - - - - - O F
POST   organizations/{deleted}/restore                         - - - - - - s - - - - - - - -
PUT    organizations/{organization}/quota                      - - - - - - s - - - - - - - -
GET    organizations/{organization}/members                    - - - - m o s x - - - - M O F
PUT    organizations/{organization}/members/{username}         - - - - - o s - - - - - - O F
DELETE organizations/{organization}/members/{member}           - - - - - o s - - - - - - O F
GET    organizations/{organization}/teams                      - - - - m o s x - - - - M O F
POST   organizations/{organization}/teams                      - - - - - o s - - - - - - O F
GET    organizations/{organization}/teams/{team}               - - - - m o s x - - - - M O F
PATCH  organizations/{organization}/teams/{team}               - - - - - o s - - - - - - O F
DELETE organizations/{organization}/teams/{team}               - - - - - o s - - - - - - O F
PUT    organizations/{organization}/teams/{team}/members/{username}  - - - - - o s - - - - - - O F
DELETE organizations/{organization}/teams/{team}/members/{username}  - - - - - o s - - - - - - O F
GET    organizations/{organization}/invitations                - - - - - o s - - - - - - O F
POST   organizations/{organization}/invitations                - - - - - o s - - - - - - O F
DELETE organizations/{organization}/invitations/{invitation}   - - - - - o s - - - - - - O F
GET    organizations/{organization}/access                     - - - - - o s x - - - - - O F
GET    organizations/{organization}/access/{username}          - - - - - o s x - - - - - O F
GET    organizations/{organization}/grants                     - - - - m o s x - - - - M O F
POST   organizations/{organization}/grants                     - - - - - o s - - - - - - O F
DELETE organizations/{organization}/grants/{grant}             - - - - - o s - - - - - - O F
GET    organizations/{organization}/robots                     - - - - - o s x - - - - - O F
POST   organizations/{organization}/robots                     - - - - - o s - - - - - - O F
DELETE organizations/{organization}/robots/{robot}             - - - - - o s - - - - - - O F
GET    organizations/{organization}/robots/{robot}/tokens      - - - - - o s x - - - - - O F
POST   organizations/{organization}/robots/{robot}/tokens      - - - - - o s - - - - - - O F
GET    organizations/{organization}/audit                      - - - - - o s x - - - - - O F
GET    audit                                                   - - - - - - s x - - - - - - -
GET    audit/verify                                            - - - - - - s x - - - - - - -
GET    tokens                                                  - u r c m o s x R I U C M O F
POST   tokens                                                  - u r c m o s x - - - - - O F
GET    tokens/{token}                                          - - - - - o s x - - - - - O F
DELETE tokens/{token}                                          - - - - - o s - - - - - - O F
POST   tokens/{token}/rotate                                   - - - - - o - - - - - - - O F
GET    jobs                                                    - u r c m o s x R I U C M O F
GET    jobs/{job}                                              - - r c m o s x R I - C M O F
POST   jobs/{job}/cancel                                       - - - - m o s - - - - - M O F
GET    jobs/{job}/log                                          - - r c m o s x R I - C M O F
GET    event-types                                             - u r c m o s x R I U C M O F
GET    inbox                                                   - u r c m o s x R I U C M O F
POST   inbox/read                                              - u r c m o s x - - - - - - F
PATCH  inbox/{item}                                            - - - - - o - - - - - - - - F
GET    subscriptions                                           - u r c m o s x - - - - - - F
POST   subscriptions                                           - u r c m o s x - - - - - - F
GET    subscriptions/{subscription}                            - - - - - o - - - - - - - - F
PATCH  subscriptions/{subscription}                            - - - - - o - - - - - - - - F
DELETE subscriptions/{subscription}                            - - - - - o - - - - - - - - F
GET    organizations/{organization}/webhooks                   - - - - - o s x - - - - - O F
POST   organizations/{organization}/webhooks                   - - - - - o s - - - - - - O F
GET    organizations/{organization}/webhooks/{webhook}         - - - - - o s x - - - - - O F
PATCH  organizations/{organization}/webhooks/{webhook}         - - - - - o s - - - - - - O F
DELETE organizations/{organization}/webhooks/{webhook}         - - - - - o s - - - - - - O F
POST   organizations/{organization}/webhooks/{webhook}/rotate  - - - - - o s - - - - - - O F
POST   organizations/{organization}/webhooks/{webhook}/test    - - - - - o s - - - - - - O F
GET    organizations/{organization}/webhooks/{webhook}/deliveries  - - - - - o s x - - - - - O F
POST   organizations/{organization}/webhooks/{webhook}/deliveries/{delivery}/redeliver  - - - - - o s - - - - - - O F
GET    channels/{channel}/policy                               - - r c m o s x R I - C M O F
GET    channels/{public}/policy                                - u r c m o s x R I U C M O F
PUT    channels/{channel}/policy                               - - - - m o s - - - - - M O F
POST   channels/{channel}/policy/preview                       - - - - m o s - - - - - M O F
GET    channels/{channel}/hidden                               - - r c m o s x R I - C M O F
GET    channels/{public}/hidden                                - u r c m o s x R I U C M O F
POST   channels/{channel}/hidden/release                       - - - - m o s - - - - - M O F
GET    channels/{channel}/requests                             - - r c m o s x R I - C M O F
POST   channels/{channel}/requests                             - - r c m o s x R I - C M O F
POST   channels/{public}/requests                              - u r c m o s x R I U C M O F
GET    organizations/{organization}/policy                     - - r c m o s x R I - C M O F
PUT    organizations/{organization}/policy                     - - - - - o s - - - - - - O F
POST   organizations/{organization}/policy/preview             - - - - - o s - - - - - - O F
GET    policies                                                - u r c m o s x R I U C M O F
PUT    policies                                                - - - - - - s - - - - - - - -
POST   policies/preview                                        - - - - - - s - - - - - - - -
GET    waivers                                                 - u r c m o s x R I U C M O F
POST   waivers                                                 - - - - m o s - - - - - M O F
DELETE waivers/{waiver}                                        - - - - m o s - - - - - M O F
GET    advisories                                              - u r c m o s x R I U C M O F
POST   advisories                                              - - - - - - s - - - - - - - -
GET    requests                                                - u r c m o s x R I U C M O F
GET    requests/{request}                                      - - r - m o s x - - - - M O F
POST   requests/{request}/approve                              - - - - m o s - - - - - M O F
POST   requests/{request}/refuse                               - - - - m o s - - - - - M O F
GET    search                                                  a u r c m o s x R I U C M O F
GET    channels                                                a u r c m o s x R I U C M O F
POST   channels                                                - - - - m o s - - - - - M O F
GET    channels/{channel}                                      - - r c m o s x R I - C M O F
GET    channels/{public}                                       a u r c m o s x R I U C M O F
GET    channels/{virtual}/union                                - - r c m o s x R I - C M O F
PUT    channels/{virtual}/union                                - - - - m o s - - - - - M O F
GET    channels/{virtual}/union/conflicts                      - - r c m o s x R I - C M O F
GET    channels/{virtual}/union/names/{package}                - - r c m o s x R I - C M O F
PUT    channels/{virtual}/union/names/{package}                - - - - m o s - - - - - M O F
GET    channels/{virtual}/union/reservations                   - - - - m o s x - - - - M O F
POST   channels/{virtual}/union/reservations                   - - - - m o s - - - - - M O F
POST   channels/{virtual}/union/reservations/release           - - - - m o s - - - - - M O F
GET    channels/{channel}/shown-in                             - - r c m o s x R I - C M O F
PUT    channels/{channel}/shown-in/{virtual}                   - - - - - o s - - - - - - O F
DELETE channels/{channel}/shown-in/{virtual}                   - - - - - o s - - - - - - O F
PATCH  channels/{channel}                                      - - - - m o s - - - - - M O F
PATCH  channels/{public}                                       - - - - m o s - - - - - M O F
DELETE channels/{channel}                                      - - - - - o s - - - - - - O F
POST   channels/{channel}/rename                               - - - - - o s - - - - - - O F
POST   channels/{closed}/restore                               - - - - - o s - - - - - - O F
GET    channels/{channel}/readers                              - - - - - o s x - - - - - O F
GET    channels/{channel}/downloads                            - - r c m o s x R I - C M O F
GET    channels/{public}/downloads                             a u r c m o s x R I U C M O F
GET    channels/{channel}/packages                             - - r c m o s x R I - C M O F
GET    channels/{public}/packages                              a u r c m o s x R I U C M O F
GET    channels/{channel}/packages/{package}                   - - r c m o s x R I - C M O F
GET    channels/{channel}/files                                - - r c m o s x R I - C M O F
GET    channels/{public}/files                                 a u r c m o s x R I U C M O F
GET    channels/{channel}/files/{subdir}/{filename}            - - r c m o s x R I - C M O F
DELETE channels/{channel}/files/{subdir}/{filename}            - - - - m o s - - - - - M O F
GET    channels/{channel}/files/{subdir}/{filename}/attestations  - - r c m o s x R I - C M O F
POST   channels/{channel}/files/{subdir}/{filename}/attestations  - - - c m o s - - I U C M O F
POST   channels/{channel}/files/{verb}                         - - - - m o s - - - - - M O F
POST   channels/{channel}/upload/{new}                         - - - c m o s - - I U C M O F
POST   channels/{public}/upload/{new}                          - - - c m o s - - I U C M O F
POST   channels/{channel}/uploads                              - - - c m o s - - I U C M O F
POST   channels/{public}/copy                                  - - - - - o s - - - - - - O F
POST   channels/{channel}/hotfix/{subdir}                      - - - - m o s - - - - - M O F
GET    channels/{channel}/revisions                            - - r c m o s x R I - C M O F
GET    channels/{public}/revisions                             a u r c m o s x R I U C M O F
GET    channels/{channel}/revisions/{number}                   - - r c m o s x R I - C M O F
GET    channels/{channel}/revisions/{number}/diff              - - r c m o s x R I - C M O F
POST   channels/{channel}/revisions/{number}/rollback          - - - - m o s - - - - - M O F
PUT    channels/{channel}/revisions/{number}/keep              - - - - m o s - - - - - M O F
GET    environments                                            a u r c m o s x R I U C M O F
GET    environments/packages                                   a u r c m o s x R I U C M O F
GET    environments/affected                                   - u r c m o s x R I U C M O F
POST   environments/would-it-solve                             - - - c m o s - - - - C M O F
GET    environment-settings                                    - u r c m o s x R I U C M O F
PATCH  environment-settings                                    - - - - - - s - - - - - - - -
POST   specifications/validate                                 - u r c m o s x R I U C M O F
GET    organizations/{organization}/environment-settings       - - r c m o s x R I - C M O F
PATCH  organizations/{organization}/environment-settings       - - - - - o s - - - - - - O F
GET    organizations/{organization}/environments               a u r c m o s x R I U C M O F
POST   organizations/{organization}/environments               - - - c m o s - - - - C M O F
GET    organizations/{organization}/environments/{environment}  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{open}        a u r c m o s x R I U C M O F
PATCH  organizations/{organization}/environments/{environment}  - - - c m o s - - - - C M O F
DELETE organizations/{organization}/environments/{environment}  - - - - m o s - - - - - M O F
GET    organizations/{organization}/environments/{environment}/settings  - - r c m o s x R I - C M O F
PATCH  organizations/{organization}/environments/{environment}/settings  - - - c m o s - - - - C M O F
POST   organizations/{organization}/environments/{environment}/rollback  - - - c m o s - - - - C M O F
GET    organizations/{organization}/environments/{environment}/grants  - - - - m o s x - - - - M O F
POST   organizations/{organization}/environments/{environment}/grants  - - - - - o s - - - - - - O F
DELETE organizations/{organization}/environments/{environment}/grants/{environment_grant}  - - - - - o s - - - - - - O F
POST   organizations/{organization}/environments/{environment}/retention  - - - - m o s - - - - - M O F
GET    organizations/{organization}/environments/{environment}/schedule  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{open}/schedule  a u r c m o s x R I U C M O F
POST   organizations/{organization}/environments/{environment}/schedule  - - - c m o s - - - - C M O F
POST   organizations/{organization}/environment-retention      - - - - m o s - - - - - M O F
GET    organizations/{organization}/environments/{environment}/diff  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{environment}/builds  - - r c m o s x R I - C M O F
POST   organizations/{organization}/environments/{environment}/builds  - - - c m o s - - - - C M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}  - - r c m o s x R I - C M O F
PATCH  organizations/{organization}/environments/{environment}/builds/{build}  - - - c m o s - - - - C M O F
DELETE organizations/{organization}/environments/{environment}/builds/{build}  - - - - m o s - - - - - M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}/packages  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}/artifacts  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}/artifacts/{artifact}  - - r c m o s x R I - C M O F
POST   organizations/{organization}/environments/{environment}/builds/{build}/artifacts/{artifact}  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}/artifacts/{artifact}/{platform}  - - r c m o s x R I - C M O F
POST   organizations/{organization}/environments/{environment}/builds/{build}/artifacts/{artifact}/{platform}  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}/lock  - - r c m o s x R I - C M O F
GET    organizations/{organization}/environments/{environment}/builds/{build}/wheels/{wheel}/{filename}  - - r c m o s x R I - C M O F
POST   organizations/{organization}/environments/{environment}/builds/{build}/archive  - - - c m o s - - - - C M O F
POST   organizations/{organization}/environments/{environment}/builds/{build}/restore  - - - c m o s - - - - C M O F
POST   organizations/{organization}/environments/{environment}/builds/{build}/cancel  - - - c m o s - - - - C M O F
POST   organizations/{organization}/environments/{environment}/builds/{build}/activate  - - - c m o s - - - - C M O F
GET    mirrors                                                 - u r c m o s x R I U C M O F
POST   mirrors                                                 - - - - m o s - - - - - M O F
GET    mirrors/{mirror}                                        - - r c m o s x R I - C M O F
PATCH  mirrors/{mirror}                                        - - - - m o s - - - - - M O F
DELETE mirrors/{mirror}                                        - - - - m o s - - - - - M O F
GET    mirrors/{mirror}/status                                 - - r c m o s x R I - C M O F
POST   mirrors/{mirror}/run                                    - - - - m o s - - - - - M O F
POST   mirrors/{mirror}/plan                                   - - - - m o s - - - - - M O F
GET    mirrors/{mirror}/plans/{plan}                           - - r c m o s x R I - C M O F
POST   mirrors/{mirror}/pause                                  - - - - m o s - - - - - M O F
POST   mirrors/{mirror}/resume                                 - - - - m o s - - - - - M O F
POST   mirrors/{mirror}/cancel                                 - - - - m o s - - - - - M O F
POST   mirrors/{mirror}/approve                                - - - - m o s - - - - - M O F
GET    mirrors/{mirror}/runs                                   - - r c m o s x R I - C M O F
GET    mirrors/{mirror}/runs/{run}                             - - r c m o s x R I - C M O F
GET    mirrors/{mirror}/refusals                               - - r c m o s x R I - C M O F
POST   channels/{channel}/mirror                               - - - - m o s - - - - - M O F
GET    channels/{channel}/exports                              - - - - - o s x - - - - - O F
GET    channels/{public}/exports                               - - - - m o s x - - - - M O F
POST   channels/{channel}/exports                              - - - - - o s - - - - - - O F
POST   channels/{public}/exports                               - - - - m o s - - - - - M O F
GET    exports/{export}                                        - - - - - o s x - - - - - O F
DELETE exports/{export}                                        - - - - - o s - - - - - - O F
GET    exports/{export}/files/{signature}                      - - - - - o s - - - - - - O F
GET    channels/{gap}/imports                                  - - - - m o s x - - - - M O F
POST   channels/{gap}/imports                                  - - - - m o s - - - - - M O F
GET    imports/{import}                                        - - - - m o s x - - - - M O F
DELETE imports/{import}                                        - - - - m o s - - - - - M O F
PUT    imports/{import}/files/{signature}                      - - - - m o s - - - - - M O F
POST   imports/{imported}/run                                  - - - - m o s - - - - - M O F
GET    signing-keys                                            - - - - - - s x - - - - - - -
POST   signing-keys                                            - - - - - - s - - - - - - - -
POST   signing-keys/rotate                                     - - - - - - s - - - - - - - -
DELETE signing-keys/{key}                                      - - - - - - s - - - - - - - -
GET    trusted-keys                                            - - - - - - s x - - - - - - -
POST   trusted-keys                                            - - - - - - s - - - - - - - -
POST   trusted-keys/follow                                     - - - - - - s - - - - - - - -
DELETE trusted-keys/{trusted}                                  - - - - - - s - - - - - - - -
"""
MOST_QUERIES = 12
COLUMNS = {
    "a": (),
    "u": ("outsider",),
    "r": ("reader",),
    "c": ("contributor",),
    "m": ("maintainer",),
    "o": ("owner",),
    "s": ("staff",),
    "x": ("auditor",),
    "R": ("owner", "read"),
    "I": ("owner", "ci"),
    "U": ("owner", "upload"),
    "C": ("owner", "contribute"),
    "M": ("owner", "maintain"),
    "O": ("owner", "own"),
    "F": ("owner", "full"),
}
FILE = {"subdir": "noarch", "filename": "inside-1.0-0.conda"}
TOKEN = {"name": "newer", "scopes": ["read"]}
# An address needs no name server.
HOOK_URL = "https://8.8.8.8/hook"
BODIES: dict[str, Any] = {
    "PATCH environment-settings": {"values": {"solve_seconds": 60}},
    "PATCH organizations/{organization}/environment-settings": {"values": {"solve_seconds": 60}},
    "PATCH organizations/{organization}/environments/{environment}/settings": {"values": {"solve_seconds": 60}},
    "POST specifications/validate": {"specification": "name: x"},
    # A lock file is answered without an engine.
    "POST environments/would-it-solve": {
        "specification": "@EXPLICIT\nhttps://x/outer/noarch/open-1.0-0.conda\n",
        "organization": "acme",
    },
    "POST organizations/{organization}/environments": {"name": "newer"},
    "PATCH organizations/{organization}/environments/{environment}": {"description": "New."},
    "POST organizations/{organization}/environments/{environment}/builds": {"specification": "channels: [outer]"},
    "PATCH organizations/{organization}/environments/{environment}/builds/{build}": {"pinned": True},
    "POST organizations/{organization}/environments/{environment}/grants": {"user": "somebody", "role": "reader"},
    "POST organizations/{organization}/environments/{environment}/retention": {"dry_run": True},
    "POST organizations/{organization}/environment-retention": {"dry_run": False},
    "POST users": {"username": "newer"},
    "PATCH users/{username}": {"display_name": "New"},
    "POST organizations": {"name": "newer"},
    "PATCH organizations/{organization}": {"title": "New"},
    "PUT organizations/{organization}/quota": {"quota_bytes": 10**9},
    "PUT organizations/{organization}/members/{username}": {"role": "reader"},
    "POST organizations/{organization}/teams": {"slug": "newer"},
    "PATCH organizations/{organization}/teams/{team}": {"title": "New"},
    "POST organizations/{organization}/invitations": {"email": "guest@example.org", "role": "reader"},
    "POST organizations/{organization}/grants": {"user": "somebody", "role": "reader", "channel": "inner"},
    "POST organizations/{organization}/robots": {"name": "newer"},
    "POST organizations/{organization}/robots/{robot}/tokens": TOKEN,
    "POST tokens": TOKEN,
    "POST tokens/{token}/rotate": {},
    "POST inbox/read": {},
    "PATCH inbox/{item}": {"read": True},
    "POST subscriptions": {"types": ["*"]},
    "PATCH subscriptions/{subscription}": {"types": ["mirror.failed"]},
    "POST organizations/{organization}/webhooks": {"name": "newer", "url": HOOK_URL, "types": ["*"]},
    "PATCH organizations/{organization}/webhooks/{webhook}": {"name": "renamed"},
    "POST channels": {"organization": "acme", "name": "newer"},
    "PATCH channels/{channel}": {"description": "New."},
    "PATCH channels/{public}": {"description": "New."},
    "POST channels/{channel}/rename": {"name": "newer"},
    "POST channels/{channel}/files/{verb}": {"files": [FILE]},
    "POST channels/{public}/copy": {"source": "inner", "files": [FILE]},
    "POST channels/{channel}/hotfix/{subdir}": {"revoke": ["inside-1.0-0.conda"]},
}
RULES = {"rules": {"names": {"denied": ["secret*"]}}}
_OLD_KEY = PrivateKey.generate()
ROTATION = rotate(old=_OLD_KEY, new=PrivateKey.generate(), name="next", made_at=datetime.now(UTC)).as_dict()
FAR_OFF = "2999-01-01T00:00:00Z"
BODIES |= {
    "PUT channels/{channel}/policy": RULES,
    "POST channels/{channel}/policy/preview": RULES,
    "POST channels/{channel}/revisions/{number}/rollback": {"dry_run": True},
    "PUT channels/{channel}/revisions/{number}/keep": {"pinned": True, "tag": "v1"},
    "POST channels/{channel}/hidden/release": {"what": "shy", "reason": "Needed.", "expires_at": FAR_OFF},
    "POST channels/{channel}/requests": {"spec": "absent >=1", "reason": "Needed."},
    "POST channels/{public}/requests": {"spec": "absent >=1", "reason": "Needed."},
    "PUT organizations/{organization}/policy": RULES,
    "POST organizations/{organization}/policy/preview": RULES,
    "PUT policies": RULES,
    "POST policies/preview": RULES,
    "POST waivers": {"level": "channel", "channel": "inner", "what": "shy", "reason": "Needed.", "expires_at": FAR_OFF},
    "POST advisories": {
        "entries": [{"id": "CVE-2026-1", "affected": [{"package": {"name": "a", "ecosystem": "PyPI"}, "versions": ["1"]}]}]
    },
    "POST requests/{request}/approve": {"expires_at": FAR_OFF},
    "POST requests/{request}/refuse": {"answer": "No."},
}
BODIES |= {
    "PUT channels/{virtual}/union": {"members": ["outer", "inner"]},
    "PUT channels/{virtual}/union/names/{package}": {"merged": True},
    "POST channels/{virtual}/union/reservations": {"names": ["inside-*"], "member": "inner"},
    "POST channels/{virtual}/union/reservations/release": {"names": ["held-back"]},
}
BODIES |= {
    "POST channels/{channel}/exports": {},
    "POST channels/{public}/exports": {},
    "POST channels/{gap}/imports": {},
    # With its quotes it has the 64 bytes of a signature.
    "PUT imports/{import}/files/{signature}": "s" * 62,
    "POST signing-keys": {"name": "newer", "afresh": True},
    "POST signing-keys/rotate": {"name": "newer"},
    "POST trusted-keys": {"name": "newer", "public": PrivateKey.generate().public},
    "POST trusted-keys/follow": {"rotations": [ROTATION]},
}
# An address needs no name server.
UPSTREAMS = {"upstreams": [{"url": "https://8.8.8.8/conda"}], "subdirs": ["noarch"]}
BODIES |= {
    "POST mirrors": {"organization": "acme", "name": "newer", **UPSTREAMS},
    "PATCH mirrors/{mirror}": {"max_packages": 7},
    "POST mirrors/{mirror}/plan": {},
    "POST channels/{channel}/mirror": UPSTREAMS,
}
QUERIES = {
    "GET search": "?q=in",
    "GET environments/packages": "?package=inside",
    "GET environments/affected": "?advisory=CVE-2026-1",
    "GET organizations/{organization}/environments/{environment}/diff": "?before=1&after=2",
}


class Row(NamedTuple):
    """One line of the table."""

    operation: str
    allowed: frozenset[str]

    @property
    def method(self) -> str:
        return self.operation.split()[0]

    @property
    def path(self) -> str:
        return self.operation.split()[1]


def rows() -> Iterator[Row]:
    for line in TABLE.strip().splitlines():
        method, path, *cells = line.split()
        assert len(cells) == len(COLUMNS), line
        assert all(cell in ("-", column) for cell, column in zip(cells, COLUMNS, strict=True)), line
        yield Row(f"{method} {path}", frozenset(cells) - {"-"})


def operations(patterns: list[URLPattern | URLResolver] | None = None) -> Iterator[str]:
    """Every `METHOD path` of the API's URLs, the names in the path left out."""
    for pattern in REST_URLS if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from operations(pattern.url_patterns)
            continue
        view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
        path = re.sub(r"<[^>]+>", "{}", str(pattern.pattern))
        for method in ("get", "post", "put", "patch", "delete"):
            if view is not None and hasattr(view, method):
                yield f"{method.upper()} {path}"


def test_every_url_has_its_row() -> None:
    in_table = {re.sub(r"{\w+}", "{}", row.operation) for row in rows()}
    in_urls = set(operations())
    assert len(in_urls) > 60
    assert in_urls - in_table == set(), "these have no row"
    assert in_table - in_urls == set(), "these rows have no URL"


def test_every_bundle_of_scopes_has_its_column() -> None:
    assert {scope for _, *scopes in filter(None, COLUMNS.values()) for scope in scopes} == set(SCOPE_BUNDLES)


@pytest.fixture
def policy_values(world: World) -> dict[str, Any]:
    """Something that policy hides, an exception from it, and a request by the reader."""
    owner, scope = Actor.of(world.people["owner"]), Scope.of_channel(world.inner)
    set_policy(actor=owner, scope=scope, rules={"names": {"denied": ["shy"]}})
    applying.apply(channel_id=world.inner.pk)
    world.push(world.inner, name="shy", version="1.0")
    waiver = waive(actor=owner, scope=scope, what="shy ==9", reason="Later.", expires_at=datetime(2999, 1, 1, tzinfo=UTC))
    request, _ = ask(actor=Actor.of(world.people["reader"]), channel=world.inner, spec="shy", reason="Needed.")
    return {"request": request.pk, "waiver": waiver.pk}


@pytest.fixture
def values(world: World, policy_values: dict[str, Any], settings: Any) -> dict[str, Any]:
    """What stands for the names in the table's paths."""
    settings.CONDAHUB_EMAIL_ENABLED = True
    owner, staff = Actor.of(world.people["owner"]), Actor.of(world.people["staff"])
    services.create_user(actor=staff, username="somebody")
    team = services.create_team(actor=owner, organization=world.acme, slug="core")
    services.create_robot(actor=owner, organization=world.acme, name="bot")
    gone = services.create_organization(actor=staff, name="gone")
    services.delete_organization(actor=staff, organization=gone)
    world.api("owner").do("POST", "channels", {"organization": "acme", "name": "shut"}, 201)
    world.api("owner")("DELETE", "channels/shut")
    hook = events.create_webhook(actor=owner, organization=world.acme, name="one", url=HOOK_URL, types=["*"]).webhook
    event = events.emit(type="channel.deleted", target=world.inner, object_name="inner")
    joined = create_virtual(actor=owner, organization=world.acme, name="joined", members=["inner", "outer"])
    reserve(actor=owner, channel=joined, patterns=["held-back"])
    numbers = make_environments(world)
    return {
        **policy_values,
        **numbers,
        **_make_bundles(world, staff),
        **_make_mirror(world, owner),
        "attestation": json.dumps(make_bundle(FILE["filename"], PackageFile.objects.get(filename=FILE["filename"]).sha256)),
        "channel": "inner",
        "closed": "shut",
        "deleted": "gone",
        "delivery": Delivery.objects.create(webhook=hook, event=event, state=DeliveryState.FAILED).pk,
        "filename": "inside-1.0-0.conda",
        "grant": services.grant(actor=owner, on=world.acme, role="reader", team=team).pk,
        "invitation": services.invite(actor=owner, organization=world.acme, email="guest@example.org", role="reader").pk,
        "item": InboxItem.objects.create(user=world.people["owner"], event=event).pk,
        "job": Job.objects.create(kind="channels.render", lane="quick", organization=world.acme).pk,
        "member": "contributor",
        "new": "fresh-1.0-0.conda",
        "number": 2,
        "organization": "acme",
        "package": "inside",
        "public": "outer",
        "robot": "bot",
        "subdir": "noarch",
        "subscription": events.subscribe(actor=owner, types=["*"], way="inbox").pk,
        "team": "core",
        "token": services.create_token(actor=owner, name="one", scopes=["read"]).token.pk,
        "username": "somebody",
        "verb": "yank",
        "virtual": "joined",
        "webhook": hook.pk,
    }


def _make_mirror(world: World, owner: Actor) -> dict[str, Any]:
    """A mirror whose last run is held, with a dry run that was asked for and a run that waits."""
    upstream = UpstreamSpec(url="https://8.8.8.8/conda")
    settings = {"subdirs": ["noarch"]}
    mirror = mirrors.create_mirror(actor=owner, organization=world.acme, name="copied", upstreams=[upstream], settings=settings)
    held = [{"subdir": "noarch", "verdict": "empty", "reason": "It is empty.", "approval": "0" * 64}]
    run = SyncRun.objects.create(mirror=mirror, state=RunState.HELD, started_at=datetime.now(UTC), held=held)
    plan = runs.ask_plan(actor=owner, mirror=mirror)
    runs.run_now(actor=owner, mirror=mirror)
    return {"mirror": "copied", "plan": plan.pk, "run": run.pk}


def _make_bundles(world: World, staff: Actor) -> dict[str, Any]:
    key = signing.create_key(actor=staff, name="ours")
    trusted = signing.trust(actor=staff, name="theirs", public=_OLD_KEY.public)
    export = exporting.order_export(actor=staff, channel=world.inner)
    BundleExport.objects.filter(pk=export.pk).update(state=ExportState.READY, signature="00" * 64)
    gap = create_channel(actor=staff, organization=world.acme, name="gap")
    taken = importing.begin_import(actor=staff, channel=gap)
    done = BundleImport.objects.create(channel=gap, state=ImportState.UNCHANGED)
    numbers = {"key": key.pk, "trusted": trusted.pk, "export": export.pk, "import": taken.pk, "imported": done.pk}
    return {**numbers, "gap": "gap", "signature": "manifest.sig"}


@pytest.fixture
def package(world: World) -> bytes:
    return make_package(world.folder / "new", name="fresh").read_bytes()


def test_the_table_is_what_happens(world: World, values: dict[str, Any], package: bytes) -> None:
    """And nothing that is read takes more queries than a page may: whatever path is added has its row, and so its bound."""
    clients = {column: world.api(*who) for column, who in COLUMNS.items()}
    wrong = []
    for row in rows():
        for column, client in clients.items():
            counts: AbstractContextManager[Any] = (
                CaptureQueriesContext(connection) if row.method == "GET" and column == "F" else nullcontext()
            )
            with counts as captured:
                status = answer(client, row, values, package)
            asked = [query["sql"] for query in captured.captured_queries if "SAVEPOINT" not in query["sql"]] if captured else []
            if len(asked) > MOST_QUERIES:
                wrong.append(f"{row.operation}: {len(asked)} queries")
            expected = "success" if column in row.allowed else "401" if column == "a" else "403"
            if not (200 <= status < 300 if column in row.allowed else str(status) == expected):
                wrong.append(f"{row.operation}: {column} got {status}, expected {expected}")
    assert not wrong, "\n".join(wrong)


def answer(client: Api, row: Row, values: dict[str, Any], package: bytes) -> int:
    """The status; what the request changed is undone, so that each has the same world before it."""
    path = row.path.format(**values)
    url = ROOT + path + QUERIES.get(row.operation, "")
    with transaction.atomic():
        if row.path.endswith("/uploads"):
            response = client.client.post(url, {"files": [SimpleUploadedFile("fresh-1.0-0.conda", package)]})
        elif "/upload/" in row.path:
            response = client.client.generic(row.method, url, data=package, content_type="application/octet-stream")
        elif row.operation.startswith("POST") and row.path.endswith("/attestations"):
            response = client.client.post(url, values["attestation"], content_type="application/json")
        else:
            body = json.dumps(BODIES[row.operation]) if row.operation in BODIES else ""
            response = client.client.generic(row.method, url, data=body, content_type="application/json")
        transaction.set_rollback(True)
    return response.status_code
