"""Whole configs: reading, older shapes, everything there is, and what can be judged without starting."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import json5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nlserver.cluster import Config, ConfigError, Problem, judge, load, loads, render
from nlserver.config import shape
from nlserver.config.document import LARGEST_FILE
from nlserver.config.walk import nested
from nlserver.errors import Code, Error
from nlserver.spec import Site, Spec, Unavailable

HERE = Path(__file__).parent / "config"
SEEDS = sorted((HERE / "seed").glob("*.json5"))
EVERYTHING = HERE / "everything.json5"
ENVIRONMENT = {"NUMBER": "1"}

STORE = '{name: "A", memory: {}}'
HTTP = '{http: {socket_address: "127.0.0.1:50051"}}'
FILES = '{filesystem: {content_path: "/c", temp_path: "/t"}}'
WORKER_BODY = (
    'worker_api_endpoint: {uri: "grpc://h:1"}, work_directory: "/w", platform_properties: {},'
    ' upload_action_result: {upload_ac_results_strategy: "never"}'
)


def config(stores: str = "", servers: str = "", more: str = "") -> str:
    return f"{{stores: [{stores}],\nservers: [{servers}],\n{more}}}"


def server(services: str, address: str = "127.0.0.1:50051") -> str:
    return f'{{listener: {{http: {{socket_address: "{address}"}}}}, services: {services}}}'


def worker(store: str, more: str = "") -> str:
    return f'{{local: {{cas_fast_slow_store: "{store}", {WORKER_BODY}{more}}}}}'


def read(text: str) -> Config:
    return loads(text, "f", ENVIRONMENT)


def errors(text: str) -> list[Problem]:
    """What keeps a text from being a config that runs."""
    try:
        found = judge(read(text))
    except ConfigError as error:
        found = error.problems
    return [problem for problem in found if problem.fatal]


def warnings(text: str) -> list[Problem]:
    return [problem for problem in judge(read(text)) if not problem.fatal]


def reasons(text: str) -> list[str]:
    return [problem.reason for problem in errors(text)]


@cache
def everything() -> Config:
    return load(EVERYTHING, ENVIRONMENT)


# Whole files


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_the_seed_configs_load_unchanged_and_nothing_is_wrong_with_them(path: Path) -> None:
    assert [problem for problem in judge(load(path, {})) if problem.fatal] == []


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_config_is_decoded_in_well_under_200_ms(path: Path) -> None:
    load(path, {})
    started = time.process_time()
    load(path, {})
    assert time.process_time() - started < 0.2


def test_the_seed_configs_say_what_the_guide_says() -> None:
    seeds = {path.stem: load(path, {"CAS_ENDPOINT": "cas"}) for path in SEEDS}
    cas = seeds["cas"]
    assert [entry.name for entry in cas.stores] == ["CAS_MAIN_STORE", "AC_MAIN_STORE"]
    store: Any = cas.stores[0].spec
    assert store.tag == "compression"
    assert store.backend.eviction_policy.max_bytes == 10**10
    services = cas.servers[0].services
    assert services is not None
    assert services.bytestream is not None
    assert [(item.instance_name, item.cas_store) for item in services.bytestream] == [("", "CAS_MAIN_STORE")]
    assert (services.capabilities, services.fetch, services.push, services.execution) == ((), (), (), None)
    remote: Any = seeds["scheduler"].stores[0].spec
    assert remote.endpoints[0].address == "grpc://cas:50051"
    (local,) = seeds["worker"].workers or ()
    assert vars(local)["worker_api_endpoint"].uri == "grpc://127.0.0.1:50061"
    assert vars(local)["platform_properties"]["cpu_count"].query_cmd == "nproc"


def _classes(spec: type[Spec]) -> Iterator[type[Spec]]:
    """Every Spec class that a config may hold, kinds and variants included."""
    for found in _direct(spec):
        yield found
        for slot in shape.slots(found):
            for inner in _mentioned(slot.hint):
                if inner not in _seen:
                    _seen.add(inner)
                    yield from _classes(inner)


_seen: set[type[Spec]] = set()


def _direct(spec: type[Spec]) -> list[type[Spec]]:
    if spec is shape.union(spec):
        kinds = [shape.kind(spec, tag) for tag in shape.kind_names(spec)]
        return [found for kind in kinds if kind is not None for found in _direct(kind)]
    if spec.chosen_by and spec.chosen_by not in shape.keys(spec):
        return list(shape.variants(spec).values())
    return [spec]


def _mentioned(hint: Any) -> Iterator[type[Spec]]:
    if isinstance(hint, type) and issubclass(hint, Spec):
        yield hint
    for argument in getattr(hint, "__args__", ()):
        yield from _mentioned(argument)


def test_a_config_may_hold_every_key_of_every_kind() -> None:
    whole = everything()
    origins = whole.source.origins
    specs = list(nested(whole))
    _seen.clear()
    for cls in _classes(Config):
        said = {
            slot.field
            for slot in shape.slots(cls)
            for spec in specs
            if (type(spec) is cls or issubclass(type(spec), cls)) and origins.says(spec, slot.field)
        }
        inherited = {slot.field for base in cls.__mro__[1:] if base in _shared_keys() for slot in shape.slots(base)}
        assert {slot.field for slot in shape.slots(cls)} - inherited - said == set(), cls


def _shared_keys() -> set[type[Spec]]:
    from nlserver.cloud import ObjectKeys

    return {ObjectKeys}


def test_nothing_is_wrong_with_the_config_that_holds_everything() -> None:
    judged = judge(everything())
    assert render(problem for problem in judged if problem.fatal) == ""


def test_values_of_the_config_that_holds_everything_arrive() -> None:
    whole = everything()
    stores: dict[str, Any] = {entry.name: entry.spec for entry in whole.stores}
    assert stores["FILES"].content_path == "/tmp/nl/content"
    assert stores["FILES"].block_size == 4096
    assert stores["MEMORY"].eviction_policy.evict_bytes == 1 << 30
    assert stores["REMOTE"].headers == {"x-api-key": "$literal"}
    assert stores["REMOTE"].endpoints[0].compression == "gzip"
    assert stores["REMOTE"].retry.codes == {Code.UNAVAILABLE, Code.ABORTED}
    assert stores["SHARDS"].stores[1].weight is None
    assert stores["MONGO"].read_chunk_size == 64_000
    assert stores["AWS"].consider_expired_after_s == 604_800
    assert stores["ONTAP"].max_retry_buffer_per_request == 1 << 20
    listener = whole.servers[0].listener
    assert listener.advanced_http.experimental_http2_keep_alive_timeout_s == 70
    assert listener.compression.accepted_compression_algorithms == ("gzip", "none")
    assert whole.globals is not None
    assert whole.globals.max_open_files == 1024
    (local,) = whole.workers or ()
    fields = vars(local)
    assert fields["name"] == "worker-1"
    assert fields["max_cleanup_backoff_ms"] == 2
    assert fields["additional_environment"]["PATH"] == "from_environment"
    assert fields["additional_environment"]["TEXT"].value == "alinux"


def test_every_kind_that_is_not_available_yet_is_a_warning_and_refuses_to_start() -> None:
    whole = everything()
    later = [spec for spec in nested(whole) if isinstance(spec, Unavailable)]
    tags = {spec.tag for spec in later}
    assert {"redis_store", "experimental_mongo", "experimental_cloud_object_store", "historical_resource"} <= tags
    warned = [problem for problem in judge(whole) if "is not available yet" in problem.reason]
    assert len(warned) >= len(later)
    assert not any(problem.fatal for problem in warned)
    for spec in later:
        with pytest.raises(Error) as caught:
            spec.build(Site())
        assert caught.value.code == Code.UNIMPLEMENTED
        assert caught.value.remedy


def test_the_file_knows_the_place_of_every_value_by_its_path() -> None:
    found = load(SEEDS[0], {})
    place = found.places()["stores[0].compression.backend.filesystem.content_path"]
    assert (place.line, place.column) == (11, 27)


def test_a_config_is_an_object_with_stores_and_servers() -> None:
    assert reasons("{}") == ['"stores" is missing', '"servers" is missing']
    assert reasons("[]") == ["expected an object, found a list"]
    assert read("{stores: [], servers: []}").stores == ()


@pytest.mark.parametrize("key", ["stores", "schedulers", "workers", "servers"])
def test_lists_of_entries_do_not_take_maps(key: str) -> None:
    text = json5.dumps({"stores": [], "servers": [], key: {"X": {"memory": {}}}})
    assert "expected a list, found an object" in reasons(text)[0]


@pytest.mark.parametrize("key", ["schedulers", "workers", "global", "experimental_origin_events"])
def test_optional_parts_may_be_null(key: str) -> None:
    assert errors(f"{{stores: [], servers: [], {key}: null}}") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("global: {}", '"max_open_files" is missing'),
        ("global: {max_open_files: 1, disable_metrics: true}", "take it out"),
        ("bogus: 1", 'unknown key "bogus"'),
        ("stores: []", '"stores" is given twice'),
    ],
)
def test_wrong_top_level_parts_have_a_reason(text: str, reason: str) -> None:
    assert any(reason in found for found in reasons(config(more=text)))


def test_zero_open_files_mean_the_default() -> None:
    found = read(config(more="global: {max_open_files: 0, default_digest_hash_function: null}"))
    assert found.globals is not None
    assert found.globals.max_open_files == 24_576


@pytest.mark.parametrize(
    ("http", "reason"),
    [
        ("compression: {}", '"accepted_compression_algorithms" is missing'),
        ("compression: null", "null is not allowed"),
        ("advanced_http: null", "null is not allowed"),
        ("tls: {}", '"cert_file" is missing'),
        ("max_decoding_message_size: null", "null is not allowed"),
        ("experimental_http2_max_frame_size: 1", "unknown key"),
        ("advanced_http: {http2_keep_alive_interval: '5k'}", "not a number"),
        (
            "advanced_http: {experimental_http2_keep_alive_timeout_s: 1, experimental_http2_keep_alive_timeout: 1}",
            "twice",
        ),
    ],
)
def test_wrong_listener_settings_have_a_reason(http: str, reason: str) -> None:
    listener = f'{{listener: {{http: {{socket_address: "127.0.0.1:1", {http}}}}}, services: {{}}}}'
    assert any(reason in found for found in reasons(config(servers=listener)))


def test_further_keys_of_a_listener_are_only_worth_a_warning() -> None:
    text = config(servers='{listener: {http: {socket_address: "127.0.0.1:1"}, unix: {}}, services: {}}')
    assert errors(text) == []
    assert ["ignored" in found.reason for found in warnings(text)] == [True]


def test_integers_of_health_and_worker_api_are_cast() -> None:
    services = "{health: {timeout_seconds: 2.9}, worker_api: {scheduler: 'S', kill_revoked_operations_interval_s: -1}}"
    found = read(config(servers=server(services), more="schedulers: [{name: 'S', simple: {}}]")).servers[0].services
    assert found is not None
    assert found.health is not None
    assert found.worker_api is not None
    assert found.health.timeout_seconds == 2
    assert found.worker_api.kill_revoked_operations_interval_s == 5


GRPC = "{name: 'A', grpc: {store_type: 'cas', endpoints: [{address: 'grpc://h:1'}]}}"


def test_integers_in_service_items_are_strict() -> None:
    services = "{cas: [{cas_store: 'A', experimental_chunking: {index_store: 'A', max_chunk_count: 2.5}}]}"
    assert any("expected an integer" in found for found in reasons(config(STORE, server(services))))


@pytest.mark.parametrize(
    ("store", "chunking", "reason"),
    [
        (STORE, "{}", "cas instance 'main' needs an index_store"),
        (STORE, "{index_store: 'B'}", None),
        (GRPC, "{index_store: 'B'}", "there must be no index_store"),
        (GRPC, "{}", None),
    ],
)
def test_chunking_needs_an_index_unless_another_server_keeps_it(store: str, chunking: str, reason: str | None) -> None:
    services = f"{{cas: [{{instance_name: 'main', cas_store: 'A', experimental_chunking: {chunking}}}]}}"
    found = reasons(config(f"{store}, {{name: 'B', memory: {{}}}}", server(services)))
    assert [reason is not None and reason in one for one in found] == ([] if reason is None else [True])


# Services of both generations


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "cas: {X: {cas_store: 'A'}, '': {cas_store: 'A'}}",
            "cas: [{instance_name: 'X', cas_store: 'A'}, {cas_store: 'A'}]",
        ),
        ("ac: {'': {ac_store: 'A', read_only: true}}", "ac: [{ac_store: 'A', read_only: true}]"),
        ("capabilities: {}", "capabilities: []"),
        (
            "capabilities: {X: {remote_execution: {scheduler: 'S'}}}",
            "capabilities: [{instance_name: 'X', remote_execution: {scheduler: 'S'}}]",
        ),
        (
            "execution: {X: {cas_store: 'A', scheduler: 'S'}}",
            "execution: [{instance_name: 'X', cas_store: 'A', scheduler: 'S'}]",
        ),
        ("fetch: {X: {fetch_store: 'A'}}", "fetch: [{instance_name: 'X', fetch_store: 'A'}]"),
        ("push: {X: {push_store: 'A'}}", "push: [{instance_name: 'X', push_store: 'A'}]"),
        (
            "bytestream: {cas_stores: {X: 'A', '': 'A'}, max_bytes_per_stream: '64kb'}",
            (
                "bytestream: [{instance_name: 'X', cas_store: 'A', max_bytes_per_stream: 64000},\n"
                " {cas_store: 'A', max_bytes_per_stream: 64000}]"
            ),
        ),
        (
            "bytestream: {cas_stores: {'': 'A'}, persist_stream_on_disconnect_timeout: 0}",
            "bytestream: [{cas_store: 'A', persist_stream_on_disconnect_timeout_s: 60}]",
        ),
    ],
)
def test_old_shapes_of_services_mean_the_same_as_new_ones(old: str, new: str) -> None:
    schedulers = "schedulers: [{name: 'S', simple: {}}]"
    texts = [config(STORE, server(f"{{{services}}}"), schedulers) for services in (old, new)]
    then, today = (read(text) for text in texts)
    assert then == today
    assert errors(texts[0]) == []


def test_an_unknown_key_is_an_error_in_a_map_and_a_warning_in_a_list() -> None:
    as_map = config(STORE, server("{ac: {'': {ac_store: 'A', red_only: true}}}"))
    as_list = config(STORE, server("{ac: [{ac_store: 'A', red_only: true}]}"))
    assert [(found.nearest, found.reason) for found in errors(as_map)] == [("read_only", 'unknown key "red_only"')]
    assert errors(as_list) == []
    assert [found.nearest for found in warnings(as_list)] == ["read_only"]


@pytest.mark.parametrize(
    ("stores", "fatal"),
    [
        ("{name: 'X', memory: {bogus: 1}}", True),
        ("{name: 'X', memory: {eviction_policy: {bogus: 1}}}", True),
        ("{name: 'X', memory: {}, bogus: 1}", False),
        ("{name: 'X', noop: {bogus: 1}}", False),
        ("{name: 'X', redis_store: {addresses: ['redis://h'], bogus: 1}}", False),
        ("{name: 'X', experimental_cloud_object_store: {provider: 'aws', bogus: 1}}", True),
        ("{name: 'X', grpc: {store_type: 'cas', endpoints: [{address: 'grpc://h', bogus: 1}]}}", True),
        (
            (
                "{name: 'X', grpc: {store_type: 'cas', endpoints: [{address: 'grpcs://h',"
                " tls_config: {use_native_roots: true, bogus: 1}}]}}"
            ),
            False,
        ),
        ("{name: 'X', verify: {backend: {memory: {}, noop: {}}}}", True),
    ],
)
def test_unknown_keys_are_errors_but_where_nativelink_ignores_them(stores: str, fatal: bool) -> None:
    text = config(stores)
    assert bool(errors(text)) is fatal
    if not fatal:
        assert warnings(text)


@pytest.mark.parametrize(
    ("services", "fatal"),
    [
        ("{worker_api: {scheduler: 'S', bogus: 1}}", True),
        ("{health: {bogus: 1}}", True),
        ("{experimental_bep: {store: 'A', bogus: 1}}", False),
        ("{prometheus: {}}", True),
    ],
)
def test_unknown_keys_of_single_services(services: str, fatal: bool) -> None:
    text = config(STORE, server(services), "schedulers: [{name: 'S', simple: {}}]")
    assert bool(errors(text)) is fatal


def test_names_are_taken_literally_and_references_are_expanded() -> None:
    text = config(
        "{name: '$NUMBER', memory: {}}, {name: '1', noop: {}}",
        server("{cas: [{cas_store: '$NUMBER'}], bytestream: [{cas_store: '$NUMBER'}], ac: [{ac_store: '$$NUMBER'}]}"),
    )
    found = read(text)
    services = found.servers[0].services
    assert services is not None
    assert [entry.name for entry in found.stores] == ["$NUMBER", "1"]
    assert [item.cas_store for item in (*(services.cas or ()), *(services.bytestream or ()))] == ["1", "$NUMBER"]
    assert errors(text) == []


def test_an_unset_variable_is_fatal_even_where_nothing_uses_it() -> None:
    (problem,) = errors(config("{name: 'X', filesystem: {content_path: '$NO', temp_path: '/t'}}"))
    assert '"NO" is not set' in problem.reason


# Several problems at once


def test_every_problem_of_a_file_comes_with_its_line_and_the_nearest_word() -> None:
    text = """{
  stores: [
    {name: "A", memroy: {}},
    {name: "B", filesystem: {content_path: "/c", tmp_path: "/t", eviction_policy: {max_bytes: "10xb"}}},
    {name: "C", memory: {}},
  ],
  servers: [
    {
      listener: {http: {socket_address: "localhost:50051"}},
      services: {
        cas: [{cas_store: "CC"}],
        ac: [{ac_store: "A"}],
        prometheus: {},
        worker_api: {scheduler: "S"},
      },
    },
  ],
}
"""
    found = {(problem.place.line, problem.place.path): problem.nearest for problem in errors(text)}
    assert found == {
        (3, "stores[0].memroy"): "memory",
        (4, "stores[1].filesystem.tmp_path"): "temp_path",
        (4, "stores[1].filesystem.eviction_policy.max_bytes"): None,
        (9, "servers[0].listener.http.socket_address"): None,
        (11, "servers[0].services.cas[0].cas_store"): "C",
        (13, "servers[0].services.prometheus"): None,
        (14, "servers[0].services.worker_api.scheduler"): None,
    }


def test_what_is_wrong_with_one_list_hides_nothing_of_the_others() -> None:
    text = f"{{stores: {{A: {{memory: {{}}}}}},\nservers: [{server('{}', 'localhost:1')}]}}"
    assert [found.place.path for found in errors(text)] == ["stores", "servers[0].listener.http.socket_address"]


def test_problems_are_shown_with_the_line_and_a_caret() -> None:
    text = config("{name: 'A', memory: {}},\n  {name: 'B', ref_store: {name: 'a'}}")
    assert render(errors(text)) == (
        "f:2:33: error: stores[1].ref_store.name: store 'a' does not exist (did you mean \"A\"?)\n"
        "      {name: 'B', ref_store: {name: 'a'}}],\n"
        "                                    ^\n"
    )


# What is judged without starting


def test_a_cas_and_an_action_cache_must_not_share_a_store() -> None:
    text = config(STORE, server("{cas: [{cas_store: 'A'}], ac: [{ac_store: 'A'}]}"))
    assert reasons(text) == ["CAS and AC use the same store 'A' in the config"]


@pytest.mark.parametrize(
    "servers",
    [
        server("{cas: [{cas_store: 'A'}], ac: [{instance_name: 'x', ac_store: 'A'}]}"),
        server("{cas: [{cas_store: 'A'}]}") + "," + server("{ac: [{ac_store: 'A'}]}", "127.0.0.1:50052"),
    ],
)
def test_sharing_is_judged_per_listener_and_instance(servers: str) -> None:
    assert errors(config(STORE, servers)) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (config(STORE, server("{cas: [{cas_store: 'B'}]}")), "store 'B' does not exist; stores here: A"),
        (config("", server("{cas: [{cas_store: 'B'}]}")), "store 'B' does not exist: this config has no stores"),
        (config("{name: 'R', ref_store: {name: 'X9'}}"), "store 'X9' does not exist"),
        (config(STORE, server("{execution: [{cas_store: 'A', scheduler: 'S'}]}")), "scheduler 'S' does not exist"),
        (
            config(STORE, server("{capabilities: [{remote_execution: {scheduler: 'S'}}]}")),
            "scheduler 'S' does not exist",
        ),
        (config(STORE, server("{worker_api: {scheduler: 'S'}}")), "scheduler 'S' does not exist"),
        (config(STORE, server("{experimental_bep: {store: 'Q'}}")), "store 'Q' does not exist"),
        (config(more="experimental_origin_events: {publisher: {store: 'Q'}}"), "store 'Q' does not exist"),
        (config(more=f"workers: [{worker('W')}]"), "store 'W' does not exist"),
        (
            config(more="schedulers: [{name: 'S', cache_lookup: {ac_store: 'Q', scheduler: {simple: {}}}}]"),
            "store 'Q' does not exist",
        ),
        (f"{{stores: [{STORE}], servers: [{{listener: {HTTP}}}]}}", "'services' must be configured"),
        (f"{{stores: [], servers: [{{listener: {HTTP}, services: null}}]}}", "'services' must be configured"),
        (config(f"{STORE}, {STORE}"), "Store name 'A' already exists"),
        (
            config(servers=f"{server('{}')}, {server('{}')}"),
            "listens on 127.0.0.1:50051 already",
        ),
        (config(servers=f"{server('{}')}, {server('{}', '0.0.0.0:50051')}"), "listens on 127.0.0.1:50051 already"),
        (
            config(
                "",
                server("{worker_api: {scheduler: 'S'}}"),
                "schedulers: [{name: 'S', grpc: {endpoint: {address: 'grpc://h'}}}]",
            ),
            "takes no workers",
        ),
        (
            config(
                "",
                server("{worker_api: {scheduler: 'S'}}"),
                "schedulers: [{name: 'S', property_modifier: {modifications: [], scheduler: {"
                "grpc: {endpoint: {address: 'grpc://h'}}}}}]",
            ),
            "takes no workers",
        ),
        (
            config("{name: 'A', dedup: {index_store: {noop: {}}, content_store: {noop: {}}, max_size: '100kb'}}"),
            "chunk sizes must not fall from 65536 to 262144 to 100000 bytes",
        ),
    ],
)
def test_what_cannot_start_is_known_before(text: str, reason: str) -> None:
    found = reasons(text)
    assert any(reason in one for one in found), found
    assert len(found) == 1


@pytest.mark.parametrize(
    "address",
    [
        "localhost:50051",
        ":8080",
        "127.0.0.1",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "::1:80",
        "[::1]",
        "[1.2.3.4]:1",
        "",
    ],
)
def test_an_address_is_an_ip_and_a_port(address: str) -> None:
    assert [f"Invalid address '{address}'" in found for found in reasons(config(servers=server("{}", address)))] == [
        True
    ]


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "127.0.0.1:0", "[fe80::1]:65535"])
def test_literal_addresses_are_fine(address: str) -> None:
    assert errors(config(servers=server("{}", address))) == []


def test_several_listeners_may_ask_for_a_free_port() -> None:
    assert errors(config(servers=f"{server('{}', '127.0.0.1:0')}, {server('{}', '127.0.0.1:0')}")) == []


@pytest.mark.parametrize(
    ("stores", "cycle"),
    [
        ("{name: 'A', ref_store: {name: 'A'}}", "A -> A"),
        (
            (
                "{name: 'A', ref_store: {name: 'B'}}, {name: 'B', verify: {backend: {ref_store: {name: 'C'}}}},"
                " {name: 'C', ref_store: {name: 'A'}}"
            ),
            "A -> B -> C -> A",
        ),
    ],
)
def test_stores_that_refer_to_themselves_are_named_once(stores: str, cycle: str) -> None:
    assert [found.endswith(f"refers to itself: {cycle}") for found in reasons(config(stores))] == [True]


def test_references_may_point_forward_and_meet_again() -> None:
    stores = "{name: 'A', fast_slow: {fast: {ref_store: {name: 'B'}}, slow: {ref_store: {name: 'B'}}}}"
    assert errors(config(stores + ", {name: 'B', memory: {}}")) == []


@pytest.mark.parametrize(
    ("stores", "reason"),
    [
        (STORE, "Expected store for LocalWorker's store to be a FastSlowStore: 'A' is a memory"),
        ("{name: 'A', ref_store: {name: 'B'}}, {name: 'B', noop: {}}", "'A' is a noop"),
        ("{name: 'A', fast_slow: {fast: {memory: {}}, slow: {memory: {}}}}", "it is a memory"),
        (
            "{name: 'A', fast_slow: {fast: {ref_store: {name: 'B'}}, slow: {noop: {}}}}, {name: 'B', noop: {}}",
            "it is a noop",
        ),
        (f"{{name: 'A', fast_slow: {{fast: {FILES}, slow: {{noop: {{}}}}}}}}", None),
        (
            (
                "{name: 'A', ref_store: {name: 'B'}},"
                " {name: 'B', fast_slow: {fast: {ref_store: {name: 'C'}}, slow: {noop: {}}}},"
                " {name: 'C', filesystem: {content_path: '/c', temp_path: '/t'}}"
            ),
            None,
        ),
    ],
)
def test_a_worker_needs_a_fast_slow_store_above_files(stores: str, reason: str | None) -> None:
    found = reasons(config(stores, more=f"workers: [{worker('A')}]"))
    assert [reason is not None and reason in one for one in found] == ([] if reason is None else [True])


def test_a_worker_without_an_action_cache_says_never() -> None:
    text = f"{{local: {{cas_fast_slow_store: 'A', {WORKER_BODY.partition(', upload')[0]}}}}}"
    stores = f"{{name: 'A', fast_slow: {{fast: {FILES}, slow: {{noop: {{}}}}}}}}"
    assert ["ac_store" in found for found in reasons(config(stores, more=f"workers: [{text}]"))] == [True]


def test_workers_of_one_process_have_names_of_their_own() -> None:
    stores = f"{{name: 'A', fast_slow: {{fast: {FILES}, slow: {{noop: {{}}}}}}}}"
    named = worker("A", ', name: "w"')
    same = f"workers: [{named}, {named}]"
    assert reasons(config(stores, more=same)) == ["Duplicate worker name 'w' found in config"]
    unnamed = f"workers: [{worker('A')}, {worker('A')}]"
    assert errors(config(stores, more=unnamed)) == []


def test_names_that_the_last_one_wins_are_warned_of() -> None:
    text = config(
        f"{STORE}, {{name: 'B', noop: {{}}}}",
        server("{cas: [{cas_store: 'A'}, {cas_store: 'B'}]}"),
        "schedulers: [{name: 'S', simple: {}}, {name: 'S', simple: {}}]",
    )
    assert errors(text) == []
    assert sorted(found.place.path for found in warnings(text)) == ["schedulers[1].name", "servers[0].services.cas[1]"]


# zstd on the wire


def _remote(kind: str, said: str = "") -> str:
    return f"{{grpc: {{store_type: '{kind}', endpoints: [{{address: 'grpc://h:1'}}]{said}}}}}"


def _entry(name: str, kind: str, said: str = "") -> str:
    return f"{{name: '{name}', verify: {{backend: {_remote(kind, said)}}}}}"


def _compressed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {entry.name: entry.spec for entry in read(text).stores}
    return {name: spec.backend.experimental_remote_cache_compression for name, spec in found.items()}


SAID = ", experimental_remote_cache_compression: "


def test_without_a_wish_nothing_is_compressed_on_the_wire() -> None:
    assert _compressed(config(f"{_entry('A', 'cas')}, {_entry('B', 'cas', SAID + 'false')}")) == {"A": None, "B": False}


def test_the_wish_of_one_store_holds_for_every_silent_cas_store() -> None:
    stores = ", ".join(
        (
            _entry("WISH", "cas", SAID + "true"),
            _entry("SILENT", "cas"),
            _entry("NO", "cas", SAID + "false"),
            _entry("AC", "ac"),
        )
    )
    assert _compressed(config(stores)) == {"WISH": True, "SILENT": True, "NO": False, "AC": None}
    assert [found.place.path.split(".")[0] for found in warnings(config(stores))] == ["stores[2]"]


def test_the_wish_of_a_service_holds_for_every_silent_cas_store() -> None:
    text = config(_entry("A", "cas"), server("{capabilities: [{remote_cache_compression: true}]}"))
    assert _compressed(text) == {"A": True}
    assert read(text).place(read(text).stores[0]).path == ""


def test_places_survive_the_wish() -> None:
    found = read(config(_entry("A", "cas"), server("{capabilities: [{remote_cache_compression: true}]}")))
    assert found.place(found.stores[0], "name").path == "stores[0].name"


def test_an_action_cache_is_not_compressed_and_wishes_for_nothing() -> None:
    text = config(f"{_entry('AC', 'ac', SAID + 'true')}, {_entry('A', 'cas')}")
    assert _compressed(text) == {"AC": True, "A": None}
    assert len(warnings(text)) == 1


def test_the_wish_for_compression_may_not_be_null() -> None:
    assert any("null is not allowed" in found for found in reasons(config(_entry("A", "cas", SAID + "null"))))


# Files


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.json5", {})
    assert render(caught.value.problems) == (
        f"{tmp_path}/none.json5: error: Could not open config file {tmp_path}/none.json5: No such file or directory\n"
    )


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_directories_and_impossible_names_are_problems(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path / name, {})


def test_bytes_that_are_no_text_have_their_place(tmp_path: Path) -> None:
    path = tmp_path / "c.json5"
    path.write_bytes("{\n  stores: 'ü".encode() + b"\xff'}")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert (problem.place.line, problem.place.column, "0xff" in problem.reason) == (2, 13, True)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "c.json5"
    path.write_bytes(b" " * (LARGEST_FILE + 1))
    with pytest.raises(ConfigError, match="bytes at most"):
        load(path, {})


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "c.json5"
    path.write_bytes("\ufeff{stores: [], servers: []}".encode())
    assert load(path, {}).stores == ()


def test_reading_a_config_imports_only_what_its_file_mentions() -> None:
    program = (
        "import sys; from nlserver.cluster import loads;"
        "loads('{stores: [{name: \"A\", memory: {}}], servers: []}', 'f', {});"
        "print(*(m for m in ('grpc', 'nlserver.stores.filesystem', 'nlserver.services.cas', 'nlserver.scheduler')"
        " if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == ""


# Whatever the bytes


_KEYS = [
    "stores",
    "servers",
    "name",
    "memory",
    "services",
    "cas",
    "bytestream",
    "cas_stores",
    "listener",
    "http",
    "local",
]
_KEYS += [
    "workers",
    "schedulers",
    "simple",
    "global",
    "fast_slow",
    "fast",
    "backend",
    "lz4",
    "health",
    "worker_api",
    "bogus",
]
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "A", "$A", "${", "10gb", "grpc://"])
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=25,
)


@settings(deadline=None, max_examples=40)
@given(tree=_TREES, stores=_TREES, servers=_TREES)
def test_any_tree_of_values_is_a_config_or_an_error_with_problems(tree: Any, stores: Any, servers: Any) -> None:
    for document in (tree, {"stores": [stores, STORE], "servers": [servers]}, {"stores": stores, "servers": servers}):
        _config_or_error(json5.dumps(document))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_config_or_an_error_with_problems(text: str) -> None:
    _config_or_error(text)


@settings(deadline=None, max_examples=30)
@given(path=st.sampled_from(SEEDS), data=st.data())
def test_a_damaged_seed_is_a_config_or_an_error_with_problems(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    at = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 30))
    instead = data.draw(
        st.sampled_from(["", "{", "}", "[", "]", ",", ":", '"', "null", "5", "'x'", "{}", "[]", "//", "a: 1,"])
    )
    _config_or_error(text[:at] + instead + text[at + length :])


def _config_or_error(text: str) -> None:
    try:
        shown = render(judge(read(text)))
    except ConfigError as error:
        shown = render(error.problems)
        assert "error:" in shown
    shown.encode()
