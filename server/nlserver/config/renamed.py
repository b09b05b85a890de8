"""What to write today in place of keys and kinds that NativeLink removed, renamed, or only ever documented."""

from __future__ import annotations

from typing import Final

_CLOUD: Final = 'write experimental_cloud_object_store: {{provider: "{}", ...}}'
_UNMEASURED: Final = "there is no metrics listener in configs any more: take it out"

ADVICE: Final = {
    "experimental_s3_store": _CLOUD.format("aws"),
    "s3_store": _CLOUD.format("aws"),
    "s3": _CLOUD.format("aws"),
    "experimental_gcs_store": _CLOUD.format("gcs"),
    "gcs_store": _CLOUD.format("gcs"),
    "gcs": _CLOUD.format("gcs"),
    "experimental_azure_blob_store": _CLOUD.format("azure"),
    "azure_blob_store": _CLOUD.format("azure"),
    "experimental_ontap_s3_store": _CLOUD.format("ontap"),
    "ontap_s3_store": _CLOUD.format("ontap"),
    "experimental_ontap_s3_existence_cache": "write ontap_s3_existence_cache",
    "prometheus": _UNMEASURED,
    "experimental_prometheus": _UNMEASURED,
    "disable_metrics": _UNMEASURED,
    "disconnect_timeout_s": "write client_action_timeout_s, after which an operation that nobody waits for is dropped",
    "idle_file_descriptor_timeout_millis": "idle files are no longer kept open: take it out",
    "experimental_chunked_uploads": "no release has it although NativeLink's documentation mentions it: take it out",
}
"""Sentences by the old name. No name here is one that some other object still takes."""
