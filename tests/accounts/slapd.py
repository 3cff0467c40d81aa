"""A real OpenLDAP server on loopback, with a few people and groups that a test may change."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from condahub.ops.children import die_with_parent
from condahub.ops.supervise import any_free_port
from tests.parts import require_part

SUFFIX = "dc=example,dc=org"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "directory-admin-pw"
READER, READER_PASSWORD = f"cn=condahub,{SUFFIX}", "hub-reads-only-pw"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
START_SECONDS = 20

_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw {password}
directory {folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""

_BASE = f"""
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {READER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: condahub
userPassword: {READER_PASSWORD}
"""


@dataclass(frozen=True)
class Directory:
    """A running slapd. People's password is their name and `-password`."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What the hub is told of it."""
        return {
            "CONDAHUB_LDAP_URL": self.url,
            "CONDAHUB_LDAP_BIND_DN": READER,
            "CONDAHUB_LDAP_BIND_PASSWORD": READER_PASSWORD,
            "CONDAHUB_LDAP_USER_BASE": PEOPLE,
            "CONDAHUB_LDAP_GROUP_BASE": GROUPS,
        }

    def hire(self, name: str) -> None:
        self._change(
            f"dn: uid={name},{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name.title()} Example\n"
            f"sn: Example\nmail: {name}@example.org\nuserPassword: {name}-password\n"
        )

    def fire(self, name: str) -> None:
        self._change(f"dn: uid={name},{PEOPLE}\nchangetype: delete\n")

    def rename(self, name: str, into: str) -> None:
        self._change(f"dn: uid={name},{PEOPLE}\nchangetype: modrdn\nnewrdn: uid={into}\ndeleteoldrdn: 1\n")

    def group(self, name: str, *members: str) -> None:
        """The group with exactly these people; without any it is deleted."""
        self._change(f"dn: cn={name},{GROUPS}\nchangetype: delete\n", may_fail=True)
        if members:
            rows = "".join(f"member: uid={member},{PEOPLE}\n" for member in members)
            self._change(f"dn: cn={name},{GROUPS}\nchangetype: add\nobjectClass: groupOfNames\ncn: {name}\n{rows}")

    def _change(self, ldif: str, *, may_fail: bool = False) -> None:
        # The password is a throw-away one, of a server on loopback.
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        done = subprocess.run(command, input=ldif.strip() + "\n", text=True, capture_output=True, timeout=20, check=False)
        assert may_fail or done.returncode == 0, done.stderr


@contextmanager
def slapd(folder: Path) -> Iterator[Directory]:
    """Debian's slapd on a free port, for the length of a block."""
    program = require_part("slapd")
    require_part("ldapsearch")
    (folder / "db").mkdir(parents=True, mode=0o700)
    conf = folder / "slapd.conf"
    conf.write_text(_CONF.format(folder=folder, suffix=SUFFIX, admin=ADMIN, password=ADMIN_PASSWORD, reader=READER))
    url = f"ldap://127.0.0.1:{any_free_port()}"
    with (folder / "slapd.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-f", str(conf), "-h", url, "-d", "0"], stdout=log, stderr=log, preexec_fn=die_with_parent(signal.SIGTERM)
        )
    try:
        directory = Directory(url)
        _wait(directory)
        add = ["ldapadd", "-x", "-H", url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        subprocess.run(add, input=_BASE.lstrip(), text=True, capture_output=True, timeout=20, check=True)
        yield directory
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(directory: Directory) -> None:
    deadline = time.monotonic() + START_SECONDS
    ask = ["ldapsearch", "-x", "-H", directory.url, "-D", ADMIN, "-w", ADMIN_PASSWORD, "-b", "", "-s", "base"]
    while subprocess.run(ask, capture_output=True, timeout=20, check=False).returncode:
        assert time.monotonic() < deadline, "slapd does not answer"
        time.sleep(0.05)
