"""Every rule finds its mistake at the right line, and nothing in the configs that we ship."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nlctl import pages
from nlctl.launch.templates import template
from nlctl.lint.certificate import Certificate
from nlctl.lint.engine import IDS
from nlctl.lint.finding import Finding, Severity
from nlctl.lint.judging import Text, Verdict, single, together
from nlctl.lint.repair import repaired
from nlctl.lint.rule import Rule
from nlctl.lint.rules import every
from nlctl.lint.scene import Disk, Runs
from nlctl.specs import spans

NAMES = ("cas", "scheduler", "worker")
ROOT = Path(__file__).parents[3]
Changes = Sequence[tuple[str, str, str]]


def texts(changes: Changes = (), more: Mapping[str, str] | None = None) -> list[Text]:
    """The shipped configs, each change (file, old, new) made, and more files beside them."""
    contents = {name: template(f"{name}.json5") for name in NAMES}
    for name, old, new in changes:
        assert old in contents[name], f"{old!r} is not in {name}.json5"
        contents[name] = contents[name].replace(old, new, 1)
    return [Text(f"{name}.json5", text) for name, text in contents.items()] + [
        Text(name, text) for name, text in (more or {}).items()
    ]


@functools.cache
def alone(text: Text, runs: Runs) -> Verdict:
    """Parsing takes most of the time, and most files of most cases are the shipped ones."""
    return single([text], {}, runs)


def judged(
    given: Sequence[Text], disk: Disk | None = None, runs: Runs = Runs.NLSERVER, *, contained: bool = False
) -> list[Finding]:
    each = [alone(text, runs) for text in given]
    verdict = Verdict(
        tuple(found for one in each for found in one.findings),
        tuple(file for one in each for file in one.files),
        tuple(name for one in each for name in one.unread),
    )
    return list(together(verdict, given, disk or Disk(), runs, contained=contained).findings)


@dataclass(frozen=True)
class Case:
    """A mistake made in the shipped configs: which rule names it, in which line, and how bad it is."""

    id: str
    marked: str
    changes: Changes = ()
    more: Mapping[str, str] = field(default_factory=dict)
    disk: Disk | None = None
    runs: Runs = Runs.NLSERVER
    severity: Severity | None = None


def slow_tier() -> str:
    """What the shipped worker config says of its slow tier."""
    text = template("worker.json5")
    node = spans.read(text).get("stores")
    for key in (0, "fast_slow", "slow"):
        assert node is not None
        node = node.items[key] if isinstance(key, int) else node.get(key)
    assert node is not None
    return text[node.start : node.end]


SLOW_GRPC = slow_tier()
SECOND = template("worker.json5").replace("${WORKER_NAME:-worker-1}", "worker-2")
WORK = '"${DATA:-/var/lib/nlctl}/work/${WORKER_NAME:-worker-1}"'
CONTENT = '"${DATA:-/var/lib/nlctl}/workers/content"'
PACKED = """{
  stores: [{ name: "C", compression: { compression_algorithm: { lz4: {} }, backend: {
    filesystem: { content_path: "/var/lib/nlctl/cas/content", temp_path: "/t" },
  } } }],
  servers: [],
}"""
REMEMBERED = """{
  stores: [
    { name: "E", existence_cache: { backend: { ref_store: { name: "G" } } } },
    { name: "G", grpc: { store_type: "cas", endpoints: [{ address: "grpc://x:1" }] } },
  ],
  servers: [],
}"""
VERIFIED = """{
  stores: [{ name: "V", compression: { compression_algorithm: { lz4: {} }, backend: {
    verify: { verify_hash: true, backend: { noop: {} } },
  } } }],
  servers: [],
}"""
TLS = 'tls: {{ cert_file: "/{}", key_file: "/own.key" }}, socket_address:'
COMPOSE = """services:
  scheduler:
    image: nativelink
    command: /etc/scheduler.json5
    healthcheck: { test: [CMD, "true"] }
    environment: { CLIENT_LISTEN: "0.0.0.0:50052" }
  worker:
    image: nativelink
    command: /etc/worker.json5
    depends_on: { scheduler: { condition: service_healthy } }
"""
POD = """kind: StatefulSet
spec:
  template:
    spec:
      containers:
        - name: the-cas
          command: [nlserver, /etc/cas.json5]
          readinessProbe: { tcpSocket: { port: 50051 } }
          volumeMounts: [{ name: data, mountPath: /var/lib }]
"""
CASES = [
    Case("NL-CFG-103", "servers", [("cas", "stores: [", "stores: [[")]),
    Case("NL-CFG-104", "stroes: [", [("cas", "stores: [", "stroes: [")]),
    Case("NL-CFG-105", "filesystem: {", [("cas", 'temp_path: "${DATA:-/var/lib/nlctl}/cas/tmp",', "")]),
    Case("NL-CFG-106", '"10 gigs"', [("cas", '"${CAS_SIZE:-10gb}"', '"10 gigs"')]),
    Case("NL-CFG-107", '"${CAS_SIZE}"', [("cas", '"${CAS_SIZE:-10gb}"', '"${CAS_SIZE}"')]),
    Case("NL-CFG-109", '"AC_STROE"', [("cas", '[{ ac_store: "AC_STORE" }]', '[{ ac_store: "AC_STROE" }]')]),
    Case("NL-CFG-110", "50052", [("scheduler", "WORKER_API_LISTEN:-127.0.0.1:50061", "X:-127.0.0.1:50052")]),
    Case(
        "NL-CFG-111",
        "bytestream: {",
        [("cas", 'bytestream: [{ cas_store: "CAS_STORE" }]', 'bytestream: { cas_stores: { "": "CAS_STORE" } }')],
    ),
    Case(
        "NL-CFG-112",
        "redis_store: {",
        [("cas", "stores: [", 'stores: [{ name: "R", redis_store: { addresses: ["a"] } },')],
    ),
    Case("NL-CFG-108", "ac/content", severity=Severity.INFO),
    Case("NL-CFG-108", "ac/content", runs=Runs.NATIVELINK, severity=Severity.ERROR),
    Case("NL-CFG-108", "ac/content", [("cas", "AC_SIZE:-500mb", "AC_SIZE:-1gb")], severity=Severity.WARNING),
    Case("NL-CFG-113", "work_directory", [("worker", WORK, '"/var/lib/nlctl/workers"')]),
    Case("NL-CFG-113", "work_directory", [("worker", WORK, '"/var/lib/nlctl/workers/content/work"')]),
    Case("NL-CFG-113", "work_directory", more={"second.json5": template("worker.json5")}),
    Case("NL-CFG-114", "/cas/content", [("cas", "/ac/content", "/cas/content")]),
    Case("NL-CFG-114", "temp_path", [("cas", "/ac/tmp", "/cas/content")]),
    Case(
        "NL-CFG-115",
        "max_inflight",
        [("worker", "work_directory:", "max_inflight_tasks: 0, max_action_timeout_s: 0, work_directory:")],
    ),
    Case("NL-CFG-115", "max_job_retries: 0", [("scheduler", "simple: {", "simple: { max_job_retries: 0,")]),
    Case("NL-CFG-116", '"1500ms"', [("scheduler", "simple: {", 'simple: { worker_timeout_s: "1500ms",')]),
    Case("NL-CFG-116", '"2s"', [("worker", "work_directory:", 'max_cleanup_backoff_ms: "2s", work_directory:')]),
    Case("NL-CFG-117", "filesystem: {", [("cas", 'eviction_policy: { max_bytes: "${CAS_SIZE:-10gb}" },', "")]),
    Case("NL-CFG-117", "max_bytes: 0", [("cas", '"${CAS_SIZE:-10gb}"', "0")]),
    Case("NL-CFG-118", "evict_bytes", [("cas", '"${CAS_SIZE:-10gb}"', '"1gb", evict_bytes: "1gb"')]),
    Case("NL-CFG-119", "noop", [("worker", SLOW_GRPC, "{ noop: {} }")], {"second.json5": SECOND}),
    Case("NL-CFG-120", ":50099", [("worker", "127.0.0.1:50051", "127.0.0.1:50099")]),
    Case("NL-CFG-121", "gpu:", [("worker", "cpu_count:", 'gpu: { values: ["a100"] }, cpu_count:')]),
    Case("NL-CFG-122", "127.0.0.1:50052", [("worker", "127.0.0.1:50061", "127.0.0.1:50052")]),
    Case("NL-CFG-123", '"many"', [("worker", '{ query_cmd: "nproc" }', '{ values: ["many"] }')]),
    Case(
        "NL-CFG-124",
        "supported_platform_properties",
        more={"second.json5": SECOND.replace('OSFamily: { values: ["linux"] }', 'OSFamily: { values: ["bsd"] }')},
    ),
    Case("NL-CFG-125", "cas: [", [("cas", 'bytestream: [{ cas_store: "CAS_STORE" }],', "")]),
    Case("NL-CFG-126", "curl", more={"compose.yml": "test: curl -f http://localhost:50051/status\n"}),
    Case("NL-CFG-126", "curl", more={"compose.yml": "test: curl -f http://localhost:50061/health\n"}),
    Case(
        "NL-CFG-127",
        "temp_path",
        disk=Disk({"/var/lib/nlctl/cas/content": 1, "/var/lib/nlctl/cas/tmp": 2}),
    ),
    Case("NL-CFG-128", "max_bytes", disk=Disk({}, {"/var/lib/nlctl/cas/content": 5_000_000_000})),
    Case(
        "NL-CFG-129",
        "work_directory",
        disk=Disk({"/var/lib/nlctl/workers/content": 1, "/var/lib/nlctl/work/worker-1": 2}),
    ),
    Case(
        "NL-CFG-130",
        "timeout: 20",
        [("worker", ':-127.0.0.1:50061}"', ':-127.0.0.1:50061}", timeout: 20')],
        severity=Severity.ERROR,
    ),
    Case(
        "NL-CFG-130",
        "timeout: 8",
        [("worker", ':-127.0.0.1:50061}"', ':-127.0.0.1:50061}", timeout: 8')],
        severity=Severity.WARNING,
    ),
    Case("NL-CFG-131", "admin: {}", [("scheduler", "WORKER_API_LISTEN:-127.0.0.1", "WORKER_API_LISTEN:-0.0.0.0")]),
    Case("NL-CFG-132", 'ac_store: "ASSET_STORE"', [("cas", 'ac_store: "AC_STORE"', 'ac_store: "ASSET_STORE"')]),
    Case(
        "NL-CFG-133",
        'ac_store: "CAS_STORE"',
        [("cas", '[{ ac_store: "AC_STORE" }]', '[{ instance_name: "x", ac_store: "CAS_STORE" }]')],
    ),
    Case(
        "NL-CFG-134",
        "/cas/content",
        [("worker", "/workers/content", "/cas/content")],
        {"packed.json5": PACKED},
    ),
    Case(
        "NL-CFG-135",
        "existence_cache",
        more={"e.json5": REMEMBERED},
        runs=Runs.NATIVELINK,
        severity=Severity.ERROR,
    ),
    Case(
        "NL-CFG-136",
        "compression",
        more={"v.json5": VERIFIED},
    ),
    Case(
        "NL-CFG-137", "client_action_timeout_s", [("scheduler", "simple: {", "simple: { client_action_timeout_s: 10,")]
    ),
    Case(
        "NL-CFG-138",
        "execution: [",
        [("scheduler", "{ remote_execution:", '{ instance_name: "other", remote_execution:')],
    ),
    Case("NL-CFG-140", "execution: [", [("scheduler", 'worker_api: { scheduler: "MAIN_SCHEDULER" },', "")]),
    Case("NL-CFG-141", ":50051", [("scheduler", "CLIENT_LISTEN:-127.0.0.1:50052", "X:-0.0.0.0:50051")]),
    Case("NL-CFG-145", "50061:50061", more={"compose.yml": '    ports:\n      - "50061:50061"\n'}),
    Case(
        "NL-CFG-146",
        "redis_store",
        [("scheduler", "simple: {", 'simple: { experimental_backend: { redis: { redis_store: "CAS_STORE" } },')],
    ),
    Case("NL-CFG-147", "a: b: c", more={"compose.yml": "services:\n  - [\n  a: b: c\n"}),
    Case(
        "NL-CFG-148",
        "worker=9",
        more={"compose.yml": COMPOSE.replace("worker:", "w-1:"), "x.sh": "up --scale worker=9\n"},
    ),
    Case(
        "NL-CFG-148",
        "  w-1:",
        more={
            "compose.yml": COMPOSE.replace("  worker:", "  w-1:")
            + "  w-2: { image: nativelink, command: /etc/worker.json5 }\n"
        },
        severity=Severity.INFO,
    ),
    Case("NL-CFG-149", "cas-data", more={"compose.yml": COMPOSE + "    volumes: [cas-data:/elsewhere]\n"}),
    Case("NL-CFG-149", "WORKER_ID", more={"compose.yml": COMPOSE + "    environment: [WORKER_ID=1, WORKER_NAME=a]\n"}),
    Case(
        "NL-CFG-150",
        "scheduler",
        more={"compose.yml": COMPOSE.replace("{ scheduler: { condition: service_healthy } }", "[scheduler]")},
    ),
    Case("NL-CFG-151", "OSFamily", [("worker", 'OSFamily: { values: ["linux"] }', 'OSFamily: { values: [""] }')]),
    Case(
        "NL-CFG-151",
        "ISA",
        [("worker", "${ISA:-x86-64}", "x86-64")],
        disk=Disk(machine="aarch64"),
        severity=Severity.WARNING,
    ),
    Case(
        "NL-CFG-151",
        "ISA",
        [("worker", "${ISA:-x86-64}", "x86-64")],
        disk=Disk(machine="x86_64"),
        severity=Severity.INFO,
    ),
    Case("NL-CFG-152", "cert_file", [("cas", "socket_address:", TLS.format("example-do-not-use-in-prod-rootca.crt"))]),
    Case(
        "NL-CFG-152",
        "cert_file",
        [("cas", "socket_address:", TLS.format("own.crt"))],
        disk=Disk(certificates={"/own.crt": Certificate("ab", 1000.0)}, now=2000.0),
        severity=Severity.ERROR,
    ),
    Case(
        "NL-CFG-152",
        "cert_file",
        [("cas", "socket_address:", TLS.format("own.crt"))],
        disk=Disk(certificates={"/own.crt": Certificate("ab", 2000.0)}, now=1000.0),
        severity=Severity.WARNING,
    ),
    Case("NL-CFG-153", "privileged", more={"compose.yml": COMPOSE + "    privileged: true\n"}),
    Case("NL-CFG-153", "privileged", more={"pod.yml": POD + "          securityContext: { privileged: true }\n"}),
    Case("NL-CFG-154", "the-cas", more={"pod.yml": POD.replace("/var/lib", "/elsewhere")}),
    Case("NL-CFG-154", "mountPath", more={"pod.yml": POD + "      volumes: [{ name: data, emptyDir: {} }]\n"}),
    Case("NL-CFG-155", "the-cas", more={"pod.yml": POD.replace("readinessProbe", "lifecycle")}),
    Case("NL-CFG-156", "the-cas", more={"pod.yml": POD.replace("cas.json5", "worker.json5")}, severity=Severity.INFO),
    Case(
        "NL-CFG-157",
        "--test_timeout",
        more={".bazelrc": "test --test_timeout=60,300,900,3600\n"},
        severity=Severity.WARNING,
    ),
    Case("NL-CFG-157", "local: {", severity=Severity.INFO),
    Case("NL-CFG-158", "NL_OTEL", more={"compose.yml": COMPOSE + "    environment: { NL_OTEL_ENDPOINT: collector }\n"}),
    Case("NL-CFG-158", "NL_OTEL", more={"compose.yml": COMPOSE + "    environment: { NL_OTEL_ENDPOINT: 'a:4317' }\n"}),
    Case(
        "NL-CFG-158", "NL_OTEL", more={"compose.yml": COMPOSE + "    environment: { NL_OTEL_ENDPOINT: 'http://a' }\n"}
    ),
    Case(
        "NL-CFG-159",
        "RUST_LOG",
        more={"compose.yml": COMPOSE.replace("CLIENT_LISTEN", "RUST_LOG: warn, CLIENT_LISTEN")},
    ),
    Case("NL-CFG-142", "name:", more={"second.json5": template("worker.json5")}),
    Case(
        "NL-CFG-144",
        "cas_fast_slow_store",
        [("worker", SLOW_GRPC, '{ filesystem: { content_path: "/own", temp_path: "/own.tmp" } }')],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.id} {number}" for number, case in enumerate(CASES)])
def test_a_rule_finds_its_mistake_where_it_stands(case: Case) -> None:
    found = [one for one in judged(texts(case.changes, case.more), case.disk, case.runs) if one.id == case.id]
    assert found, f"{case.id} found nothing"
    assert any(case.marked in one.excerpt for one in found), [one.excerpt for one in found]
    if case.severity is not None:
        assert {one.severity for one in found} == {case.severity}
    for one in found:
        assert one.what
        assert one.why
        assert one.fix
        assert one.place.line
        assert one.excerpt[one.place.column - 1 :]


@pytest.mark.parametrize("rule", every(), ids=lambda rule: str(rule.id))
def test_every_rule_has_a_case_and_a_page_with_its_title(rule: Rule) -> None:
    assert rule.id in {case.id for case in CASES}
    assert pages.title(pages.read(pages.CODES, rule.id) or "") == rule.title


@pytest.mark.parametrize("id_", [words[0] for words in IDS.values()])
def test_every_sort_of_problem_of_the_engine_has_a_case(id_: str) -> None:
    assert id_ in {case.id for case in CASES}


def test_the_shipped_configs_are_right() -> None:
    """Statement 45, for configs: nothing is found where nothing is wrong."""
    assert [one for one in judged(texts()) if one.severity is not Severity.INFO] == []


def test_what_listens_in_a_container_of_its_own_is_neither_open_to_the_network_nor_in_the_way_of_others() -> None:
    inside = [("scheduler", "WORKER_API_LISTEN:-127.0.0.1", "WORKER_API_LISTEN:-0.0.0.0"),
              ("scheduler", "CLIENT_LISTEN:-127.0.0.1:50052", "X:-0.0.0.0:50051")]  # fmt: skip
    assert {one.id for one in judged(texts(inside))} >= {"NL-CFG-131", "NL-CFG-141"}
    assert not {one.id for one in judged(texts(inside), contained=True)} & {"NL-CFG-131", "NL-CFG-141"}


def test_the_configs_of_the_guide_have_no_errors_with_either_program() -> None:
    seed = [Text(path.name, path.read_text()) for path in sorted((ROOT / "tests/server/config/seed").glob("*.json5"))]
    for runs in Runs:
        assert [one for one in judged(seed, runs=runs) if one.severity is Severity.ERROR] == []


def test_workers_that_share_one_server_share_no_path() -> None:
    """Statement 49, for configs: one CAS server and separate fast directories are right, also for NativeLink."""
    apart = SECOND.replace("/workers/", "/second/")
    found = judged(texts((), {"second.json5": apart}), runs=Runs.NATIVELINK)
    assert {one.id for one in found if "workers" in one.what} == set()
    shared = judged(texts((), {"second.json5": SECOND}), runs=Runs.NATIVELINK)
    assert any(one.id == "NL-CFG-108" and one.place.file == "second.json5" for one in shared)


def test_the_log_of_an_unknown_property_is_not_lost_when_a_file_is_broken() -> None:
    broken = texts([("cas", "stores: [", "stroes: ["), ("worker", "cpu_count:", "gpu: { values: [] }, cpu_count:")])
    assert {"NL-CFG-104", "NL-CFG-121"} <= {one.id for one in judged(broken)}


REPAIRS = [
    ("NL-CFG-104", "cas", [("cas", "eviction_policy:", "evicton_policy:")]),
    ("NL-CFG-125", "cas", [("cas", 'bytestream: [{ cas_store: "CAS_STORE" }],', "")]),
    ("NL-CFG-115", "scheduler", [("scheduler", "simple: {", "simple: { max_job_retries: 0,")]),
]


@pytest.mark.parametrize(("id_", "name", "changes"), REPAIRS)
def test_a_repair_mends_the_file_and_keeps_the_rest(id_: str, name: str, changes: Changes) -> None:
    given = texts(changes)
    edits = [edit for one in judged(given) if one.id == id_ for edit in one.edits]
    before = next(text for text in given if text.name == f"{name}.json5")
    after = Text(before.name, repaired(before.content, edits))
    assert after.content != before.content
    others = [text for text in given if text is not before]
    assert [one for one in judged([after, *others]) if one.severity is not Severity.INFO] == []
    assert re.findall("//.*", after.content) == re.findall("//.*", before.content)


def test_a_limit_that_the_disk_cannot_hold_is_lowered() -> None:
    disk = Disk({}, {"/var/lib/nlctl/cas/content": 5_000_000_000})
    given = texts(())
    edits = [edit for one in judged(given, disk=disk) if one.id == "NL-CFG-128" for edit in one.edits]
    cas = next(text for text in given if text.name == "cas.json5")
    assert 'max_bytes: "4000mb"' in repaired(cas.content, edits)


def test_a_missing_health_service_is_added() -> None:
    given = texts((), {"compose.yml": "test: curl -f http://localhost:50051/status\n"})
    edits = [edit for one in judged(given) for edit in one.edits]
    mended = [Text(text.name, repaired(text.content, [e for e in edits if e.file == text.name])) for text in given]
    assert [one.id for one in judged(mended) if one.id == "NL-CFG-126"] == []
