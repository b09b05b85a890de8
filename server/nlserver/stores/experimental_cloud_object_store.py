"""Values in object storage: S3, Google Cloud Storage, Azure and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nlserver.cloud import ObjectKeys, OntapKeys
from nlserver.spec import Flag, Seconds, Size, Text, Unavailable, key
from nlserver.store import StoreSpec


@dataclass(frozen=True, kw_only=True)
class CloudSpec(Unavailable, StoreSpec, ObjectKeys, tag="experimental_cloud_object_store"):
    """Keeps values as objects of a bucket; `provider` says whose. Not available yet."""

    chosen_by = "provider"
    instead = "Use a filesystem store, or a grpc store to a server that has the bucket."


@dataclass(frozen=True, kw_only=True)
class AwsSpec(CloudSpec):
    """Amazon S3, and what speaks its protocol."""

    provider: Literal["aws"]
    """Amazon S3."""
    region: Text = ""
    """The region; empty means what the machine's AWS settings say."""
    bucket: Text = ""
    """The bucket."""


@dataclass(frozen=True, kw_only=True)
class GcsSpec(CloudSpec):
    """Google Cloud Storage."""

    provider: Literal["gcs"]
    """Google Cloud Storage."""
    bucket: Text = ""
    """The bucket."""
    resumable_chunk_size: Size | None = None
    """Bytes of one part of a large upload; at most 2048000, rounded to the nearest multiple of 256 KiB."""
    authentication_required: Flag = False
    """Fail where no credentials are found; otherwise go on without."""
    connection_timeout_s: Seconds = key(zero=3)
    """Seconds to wait for a connection."""
    read_timeout_s: Seconds = key(zero=3)
    """Seconds to wait for an answer."""


@dataclass(frozen=True, kw_only=True)
class AzureSpec(CloudSpec):
    """Azure Blob Storage."""

    provider: Literal["azure"]
    """Azure Blob Storage."""
    account_name: Text = ""
    """The storage account."""
    container: Text = ""
    """The container."""
    endpoint: Text | None = None
    """Base address; `https://ACCOUNT.blob.core.windows.net` unless stated."""
    sas_url: Text | None = None
    """Whole address of the container with a SAS token; wins over everything else."""


@dataclass(frozen=True, kw_only=True)
class OntapSpec(CloudSpec, OntapKeys):
    """S3 of a NetApp ONTAP system."""

    provider: Literal["ontap"]
    """NetApp ONTAP."""


@dataclass(frozen=True, kw_only=True)
class R2Spec(CloudSpec):
    """Cloudflare R2."""

    provider: Literal["r2"]
    """Cloudflare R2."""
    account_id: Text
    """The account; the address is made of it."""
    bucket: Text
    """The bucket."""
    access_key_id: Text | None = None
    """Together with `secret_access_key`: the credentials, in place of the machine's AWS settings."""
    secret_access_key: Text | None = None
    """See `access_key_id`."""


@dataclass(frozen=True, kw_only=True)
class OciSpec(CloudSpec):
    """Oracle Cloud Infrastructure."""

    provider: Literal["oci"]
    """Oracle Cloud."""
    namespace: Text
    """The namespace of the tenancy."""
    region: Text
    """The region."""
    bucket: Text
    """The bucket."""
    access_key_id: Text | None = None
    """Together with `secret_access_key`: the credentials, in place of the machine's AWS settings."""
    secret_access_key: Text | None = None
    """See `access_key_id`."""
