"""Bills of materials: every package once, with its hash, licence and dependencies, the same each time."""

from __future__ import annotations

import json

from condahub.engine.lock import HubLock
from condahub.engine.sbom import cyclonedx, license_expression, purl, spdx
from tests.engine.test_locks import ADDRESSES, LIB, LOCK, PYTHON, TOOL, WHEEL


def cdx(lock: HubLock = LOCK) -> dict[str, object]:
    return dict(json.loads(cyclonedx(lock, "linux-64", name="demo", version="3", address_of=ADDRESSES.file)))


def test_cyclonedx_names_every_package_with_its_hash_and_licence() -> None:
    components = {component["name"]: component for component in cdx()["components"]}  # type: ignore[attr-defined]
    assert set(components) == {"lib", "python", "tool", "six"}
    assert components["python"]["hashes"] == [{"alg": "SHA-256", "content": PYTHON.sha256}]
    assert components["python"]["licenses"] == [{"expression": "Python-2.0"}]
    assert "licenses" not in components["lib"]
    assert components["six"]["purl"] == "pkg:pypi/six@1.16.0"
    assert components["tool"]["externalReferences"][0]["url"] == ADDRESSES.file(TOOL)


def test_dependencies_are_between_packages_of_the_bill() -> None:
    edges = {edge["ref"]: set(edge["dependsOn"]) for edge in cdx()["dependencies"]}  # type: ignore[attr-defined]
    assert edges[purl(PYTHON)] == {purl(LIB)}
    assert edges[purl(TOOL)] == {purl(PYTHON)}
    assert edges["demo@3"] == {purl(record) for record in (LIB, PYTHON, TOOL, WHEEL)}


def test_package_urls_are_those_of_conda() -> None:
    assert purl(TOOL) == "pkg:conda/tool@2%211.0%2Blocal?build=h1_0&channel=other&subdir=noarch&type=conda"


def test_spdx_describes_the_environment_and_what_it_contains() -> None:
    document = json.loads(spdx(LOCK, "linux-64", name="demo", version="3", namespace="https://hub.example/sbom"))
    identifiers = [package["SPDXID"] for package in document["packages"]]
    assert len(set(identifiers)) == len(identifiers) == 5
    related = {end for one in document["relationships"] for end in (one["spdxElementId"], one["relatedSpdxElement"])}
    assert related <= {*identifiers, "SPDXRef-DOCUMENT"}
    assert document["documentNamespace"].startswith("https://hub.example/sbom/")


def test_a_licence_that_is_no_expression_is_kept_as_said() -> None:
    assert license_expression("mit") == "MIT"
    assert license_expression("MIT AND (Apache-2.0 OR GPL-3.0-or-later WITH GCC-exception-3.1)") is not None
    for said in ("BSD like, see the file", "", "None"):
        assert license_expression(said) is None
    text = LOCK.to_bytes().replace(b'"license":"MIT"', b'"license":"BSD like, see the file"')
    lock = HubLock.from_bytes(text)
    tool = next(one for one in cdx(lock)["components"] if one["name"] == "tool")  # type: ignore[attr-defined]
    assert tool["licenses"] == [{"license": {"name": "BSD like, see the file"}}]
    document = json.loads(spdx(lock, "linux-64", name="demo", version="3", namespace="https://hub.example/sbom"))
    [other] = document["hasExtractedLicensingInfos"]
    assert other["extractedText"] == "BSD like, see the file"
    assert other["licenseId"] in [package.get("licenseDeclared") for package in document["packages"]]


def test_the_same_lock_gives_the_same_bill() -> None:
    again = HubLock.from_bytes(LOCK.to_bytes())
    assert cyclonedx(again, "linux-64", name="demo", version="3") == cyclonedx(LOCK, "linux-64", name="demo", version="3")
    assert cdx()["serialNumber"] != json.loads(cyclonedx(LOCK, "linux-64", name="demo", version="4"))["serialNumber"]
