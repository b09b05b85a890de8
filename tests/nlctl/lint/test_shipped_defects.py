"""Files with the defects of NativeLink's shipped examples, written anew: each is found at its line, and nothing else.

Statement 44, for configs: exactly what is wrong, and only that.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import hypothesis
import pytest
from hypothesis import strategies

from nlctl.launch.templates import template
from nlctl.lint.certificate import read
from nlctl.lint.finding import Finding, Severity
from nlctl.lint.judging import Text
from nlctl.lint.scene import Disk
from nlctl.render import compose, k8s
from nlctl.render.shape import Shape
from tests.nlctl.lint.test_rules import NAMES, judged

SHAPE = Shape(
    "dev",
    3,
    "10gb",
    {f"{name}.json5": template(f"multi-worker/{name}.json5") for name in NAMES},
    "nlserver:1",
    "nlserver",
)
COMPOSE = "compose.yml"
CLUSTER = "cluster.yml"
WORKER = "worker.json5"
HEALTH = "127.0.0.1:50051/status"
ONE_PATH = '{ filesystem: { content_path: "/one", temp_path: "/one.tmp", eviction_policy: { max_bytes: "1gb" } } }'
TWO = f"""{{
  stores: [{{ name: "TIERS", fast_slow: {{
    fast: {ONE_PATH},
    slow: {ONE_PATH.replace("one.tmp", "other.tmp")},
  }} }}],
  servers: [],
}}"""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
PEM = """\
-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUP+FDAs0vAihPml0Ag6alK3acezEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZG9jdG9yLmV4YW1wbGUwHhcNMjYxMTI2MTgyOTIwWhcNMjYx
MjI2MTgyOTIwWjAZMRcwFQYDVQQDDA5kb2N0b3IuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABInvOMXkvZhPwR9jNkRbpKwnojbxEE71diEvIFcrMhhH
X+MRfVZBC3mYz8Z5X1V4s35GG9ai3nhOZoAXgtw09sCjUzBRMB0GA1UdDgQWBBRl
oAvEDWCroEAwinExt+09nmCX7TAfBgNVHSMEGDAWgBRloAvEDWCroEAwinExt+09
nmCX7TAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIGtS1k+KyvWt
Zny8iYL4cOtEvbAjcjisnr18wJ36+vB4AiA8ZK1dRZZ3Mg63BVH8rKS+qjL5LClV
5lTDzpD/Uk/53g==
-----END CERTIFICATE-----
"""


FINGERPRINT = "52b1a3c3b3e8ce47ed5ce9b66f5370b348dae0fc1dfb49354da95150959f5222"
ENDS = datetime(2026, 12, 26, 18, 29, 20, tzinfo=UTC).timestamp()


def sound() -> dict[str, str]:
    """The configs that we ship, and what is made of them for Docker and for Kubernetes: nothing is wrong with them."""
    return {**compose.files(SHAPE), **k8s.files(SHAPE)}


@dataclass(frozen=True)
class Defect:
    """A mistake of the examples: what is changed in which file, the line in which it is found, and its ids."""

    nlx: str
    id: str
    marked: str
    changes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    disk: Disk = field(default_factory=Disk)


def given(variable: str) -> dict[str, tuple[str, str]]:
    """A variable for the scheduler's container."""
    return {COMPOSE: ('CLIENT_LISTEN: "0', f'{variable}\n      CLIENT_LISTEN: "0')}


DEFECTS = [
    Defect(
        "NLX001",
        "NL-CFG-126",
        HEALTH,
        {
            "cas.json5": ("health: {},", ""),
            COMPOSE: (
                '- nlserver-probe\n        - "/run/nlserver/admin.sock"',
                f'- curl\n        - "http://{HEALTH}"',
            ),
        },
    ),
    Defect(
        "NLX002",
        "NL-CFG-145",
        '"50061:50061"',
        {COMPOSE: ("${PUBLISH:-127.0.0.1}:${CLIENT_PORT:-50052}:50052", "50061:50061")},
    ),
    Defect("NLX003", "NL-CFG-148", "--scale workers=5", more={"RUN.md": "docker compose up --scale workers=5\n"}),
    Defect(
        "NLX004",
        "NL-CFG-149",
        "unused:/srv",
        {COMPOSE: ('"./scheduler.json5:', '"unused:/srv"\n      - "./scheduler.json5:')},
    ),
    Defect("NLX004", "NL-CFG-149", "WORKER_ID", given('WORKER_ID: "1"')),
    Defect("NLX005", "NL-CFG-114", "/other.tmp", more={"tiers.json5": TWO}),
    Defect("NLX006", "NL-CFG-150", "cas:", {COMPOSE: ("condition: service_healthy", "condition: service_started")}),
    Defect("NLX007", "NL-CFG-151", "ISA:", {WORKER: ("${ISA:-x86-64}", "x86-64")}, disk=Disk(machine="aarch64")),
    Defect(
        "NLX007", "NL-CFG-151", "OSFamily:", {WORKER: ('OSFamily: { values: ["linux"] }', 'OSFamily: { values: [""] }')}
    ),
    Defect(
        "NLX008",
        "NL-CFG-152",
        "example-do-not-use-in-prod-rootca.crt",
        {
            "cas.json5": (
                "socket_address:",
                'tls: { cert_file: "/root/example-do-not-use-in-prod-rootca.crt", key_file: "/k" },\n socket_address:',
            )
        },
    ),
    Defect(
        "NLX009",
        "NL-CFG-153",
        "privileged: true",
        {COMPOSE: ("restart: unless-stopped", "restart: unless-stopped\n    privileged: true")},
    ),
    Defect(
        "NLX010",
        "NL-CFG-154",
        "name: data",
        {
            CLUSTER: (
                "            name: nlserver\n  volumeClaim",
                "            name: nlserver\n        - name: data\n          emptyDir: {}\n  volumeClaim",
            )
        },
    ),
    Defect("NLX010", "NL-CFG-154", "name: cas", {CLUSTER: ('mountPath: "/data"', 'mountPath: "/tmp"')}),
    Defect("NLX017", "NL-CFG-157", "--test_timeout=5400", more={".bazelrc": "test:long --test_timeout=5400\n"}),
    Defect("NLX019", "NL-CFG-158", "collector:4317", given('NL_OTEL_ENDPOINT: "collector:4317"')),
    Defect("NLX020", "NL-CFG-159", "RUST_LOG", given("RUST_LOG: warn")),
]


def texts(defect: Defect) -> list[Text]:
    files = sound()
    for name, (old, new) in defect.changes.items():
        assert old in files[name], f"{old!r} is not in {name}"
        files[name] = files[name].replace(old, new, 1)
    return [Text(name, text) for name, text in {**files, **defect.more}.items()]


def bad(findings: list[Finding]) -> set[tuple[str, str, str]]:
    """What is wrong: id, file, and the line in which it stands."""
    return {(one.id, one.nlx, one.excerpt.strip()) for one in findings if one.severity is not Severity.INFO}


def test_what_we_ship_and_what_we_render_is_right() -> None:
    assert bad(judged([Text(name, text) for name, text in sound().items()])) == set()


@pytest.mark.parametrize("defect", DEFECTS, ids=[f"{one.nlx}-{n}" for n, one in enumerate(DEFECTS)])
def test_a_defect_of_the_examples_is_found_at_its_line_and_nothing_else(defect: Defect) -> None:
    """Statement 44, for configs: exactly what is wrong, and only that."""
    [(id_, nlx, line)] = bad(judged(texts(defect), defect.disk))
    assert (id_, nlx) == (defect.id, defect.nlx)
    assert defect.marked in line


def test_a_pod_that_nobody_probes_is_found() -> None:
    files = sound()
    for probe in PROBES:
        files[CLUSTER] = files[CLUSTER].replace(probe, f"x{probe}", 1)
    assert bad(judged([Text(name, text) for name, text in files.items()])) == {("NL-CFG-155", "NLX010", "- name: cas")}


def test_numbered_copies_of_a_service_are_a_note() -> None:
    files = sound()
    begin = files[COMPOSE].index("  worker:")
    worker = files[COMPOSE][begin : files[COMPOSE].index("volumes:\n  cas:")]
    copies = worker.replace("  worker:", "  worker-1:") + worker.replace("  worker:", "  worker-2:")
    files[COMPOSE] = files[COMPOSE].replace(worker, copies).replace(" --scale worker=8", "")
    found = judged([Text(name, text) for name, text in files.items()])
    assert bad(found) == set()
    assert [one.excerpt.strip() for one in found if one.nlx == "NLX003"] == ["worker-1:"]


def test_a_certificate_tells_its_end_and_its_fingerprint() -> None:
    found = read("text before\n" + PEM)
    assert found is not None
    assert (found.fingerprint, found.ends) == (FINGERPRINT, ENDS)


@hypothesis.given(strategies.binary(max_size=200))
def test_no_text_of_a_certificate_is_taken_for_more_than_it_is(data: bytes) -> None:
    body = base64.b64encode(data).decode()
    found = read(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    assert found is None or found.ends


@hypothesis.given(strategies.binary(max_size=200))
def test_no_deployment_file_breaks_the_linter(data: bytes) -> None:
    text = "services:\n  a: &a " + data.decode("latin-1")
    assert isinstance(judged([Text("x.yml", text)]), list)
