"""What configs say of object storage: the keys that the kinds of stores over it have in common."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.reapi.endpoint import RetrySpec
from nlserver.spec import U32, Flag, Number, Seconds, Size, Spec, Text, key


@dataclass(frozen=True, kw_only=True)
class ObjectKeys(Spec):
    """The keys of every provider."""

    key_prefix: str | None = None
    """Put in front of every object's name; taken literally."""
    retry: RetrySpec = key(default_factory=RetrySpec)
    """How failed requests are repeated."""
    consider_expired_after_s: Seconds = key(default=0, most=U32)
    """Objects older than this count as missing; 0 means never. Set it below what a rule of the bucket deletes after."""
    max_retry_buffer_per_request: Size | None = 5 << 20
    """Bytes of an upload that are kept to be able to repeat it."""
    multipart_max_concurrent_uploads: Number | None = 10
    """Parts of one upload sent at a time."""
    insecure_allow_http: Flag = False
    """Allow addresses without TLS (`aws`, `r2`, `oci`)."""
    disable_http2: Flag = False
    """Speak HTTP/1.1 only (`aws`, `r2`, `oci`)."""


@dataclass(frozen=True, kw_only=True)
class OntapKeys(ObjectKeys):
    """S3 of a NetApp ONTAP system."""

    endpoint: Text
    """Address of the system; https only."""
    vserver_name: Text
    """The storage virtual machine; it serves as the region, too."""
    bucket: Text
    """The bucket."""
    root_certificates: Text | None = None
    """PEM file with the authorities that the system's certificate descends from."""
    max_retry_buffer_per_request: Size | None = 20 << 20
    """Bytes of an upload that are kept to be able to repeat it."""
