"""Older shapes become those of today, comments stay, and a second time changes nothing."""

from __future__ import annotations

import pytest
from nlserver.cluster import loads
from nlserver.config.document import parse

from nlctl.specs.migration import migrated
from nlctl.specs.settings import settings

OLD = """// The cache of the house.
{
  "stores": {
    "CAS": { // on disk
      "filesystem": { content_path: "/c", temp_path: "/t", idle_file_descriptor_timeout_millis: 5 },
    },
    AC: { memory: {} }
  },
  schedulers: {
    MAIN: { simple: { /* patience */ disconnect_timeout_s: 90 } },
  },
  servers: [{
    listener: { http: { socket_address: "0.0.0.0:50051" } },
    services: {
      cas: {
        // For everybody.
        "": { cas_store: "CAS" },
        main: { cas_store: "CAS" },
      },
      ac: { "main": { ac_store: "AC" } },
      execution: { main: { cas_store: "CAS", scheduler: "MAIN" } },
      capabilities: { main: { remote_execution: { scheduler: "MAIN" } } },
      bytestream: {
        // Both instances.
        cas_stores: { main: "CAS", "": "CAS" },
        max_bytes_per_stream: 1024,
        max_decoding_message_size: 4000,
      },
      fetch: {}, // nothing yet
      prometheus: {
        path: "/metrics",
      },
    },
  }],
}
"""


def test_every_older_shape_is_rewritten_and_the_result_is_a_config_without_a_warning() -> None:
    made = migrated(OLD)
    config = loads(made.text, "x", {})
    assert config.warnings == ()
    holds = {setting.path: setting.value for setting in settings(config)}
    assert holds["stores[CAS].filesystem.content_path"] == "/c"
    assert holds["schedulers[MAIN].simple.client_action_timeout_s"] == 90
    services = "servers[0.0.0.0:50051].services"
    assert holds[f"{services}.bytestream[main].max_bytes_per_stream"] == 1024
    assert holds[f"{services}.cas[main].cas_store"] == "CAS"
    assert len(made.changes) == 11


def test_comments_stay_and_a_second_time_changes_nothing() -> None:
    text = migrated(OLD).text
    for comment in ("The cache of the house", "on disk", "patience", "For everybody", "Both instances", "nothing yet"):
        assert comment in text
    again = migrated(text)
    assert (again.text, again.changes) == (text, ())


@pytest.mark.parametrize(
    ("kind", "provider"),
    [("experimental_s3_store", "aws"), ("experimental_gcs_store", "gcs"), ("experimental_azure_blob_store", "azure")],
)
def test_cloud_stores_get_their_provider(kind: str, provider: str) -> None:
    text = f'{{stores: [{{name: "S", {kind}: {{bucket: "b"}}}}], servers: []}}'
    made = migrated(text)
    (entry,) = parse(made.text, "x").root.pairs[0][1].items
    store = entry.get("experimental_cloud_object_store")
    assert store is not None
    provided, bucket = store.get("provider"), store.get("bucket")
    assert provided is not None
    assert bucket is not None
    assert (provided.content, bucket.content) == (provider, "b")


def test_words_of_users_are_left_alone() -> None:
    text = '{stores: [], servers: [], workers: [{local: {platform_properties: {s3_store: {values: ["1"]}}}}]}'
    assert migrated(text).text == text


def test_what_is_of_today_is_left_alone() -> None:
    from nlctl.launch.templates import template

    for name in ("cas.json5", "scheduler.json5", "worker.json5"):
        assert migrated(template(name)).text == template(name)
