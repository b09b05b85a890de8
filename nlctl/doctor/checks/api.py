"""What the server says it offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from nlctl.doctor.check import Check
from nlctl.doctor.finding import ADDRESSES, Evidence, Finding, Remedy, Verdict, ok
from nlctl.doctor.site import Site
from nlctl.faults import fix
from nlctl.registry import Level

if TYPE_CHECKING:
    from nlserver.proto import remote_execution_pb2 as re_pb

_SOURCE: Final = "GetCapabilities"
_LARGEST_MESSAGE: Final = 4 << 20
"""What gRPC clients take by default."""


class Answer(NamedTuple):
    """What GetCapabilities answered for this instance name, or the words in which it refused the name."""

    instance: str
    offered: re_pb.ServerCapabilities | None
    refusal: str = ""
    is_here: bool = False


async def _answer(site: Site) -> Answer:
    from nlserver.errors import Code, Error

    instance = site.target.instance
    try:
        return Answer(instance, await site.capabilities())
    except Error as error:
        if error.code not in (Code.INVALID_ARGUMENT, Code.NOT_FOUND):
            raise
        return Answer(instance, None, error.message, site.target.cluster is not None)


async def _capabilities(site: Site) -> re_pb.ServerCapabilities:
    return await site.capabilities()


def judge_answer(answer: Answer) -> Iterable[Finding]:
    """Whether clients find the instance, a digest function and a version that they speak."""
    from nlserver.reapi.digest import Function

    offered = answer.offered
    if offered is None:
        said = Evidence("server said", answer.refusal, _SOURCE)
        remedy = fix(
            "give the name that the server's config has, here with --instance, in Bazel with --remote_instance_name"
        )
        what = f"the server has no instance {answer.instance!r}"
        remedies = (Remedy("recorded", ("cas", ADDRESSES)),) if answer.is_here else ()
        return [Finding(Verdict.FAILED, what, "", (said,), (remedy,), remedies=remedies)]
    numbers = set(offered.cache_capabilities.digest_functions)
    names = ", ".join(one.name for one in Function if int(one) in numbers) or "none that is known here"
    low, high = offered.low_api_version, offered.high_api_version
    evidence = (
        Evidence("digest functions", names, _SOURCE),
        Evidence("versions", f"{low.major}.{low.minor} to {high.major}.{high.minor}", _SOURCE),
    )
    if int(Function.SHA256) not in numbers:
        because = "Bazel, Buck2 and most clients use SHA-256 unless they are told otherwise"
        remedy = fix("give clients the function, for Bazel: --digest_function=blake3")
        return [Finding(Verdict.WARNING, f"the server takes no SHA-256, but {names}", because, evidence, (remedy,))]
    if high.major < 2:
        remedy = fix("use a server of the Remote Execution API v2")
        return [Finding(Verdict.FAILED, f"the server ends at version {high.major}", "", evidence, (remedy,))]
    return [ok(f"digest functions {names}, versions {low.major}.{low.minor} to {high.major}.{high.minor}", *evidence)]


def judge_batches(offered: re_pb.ServerCapabilities) -> Iterable[Finding]:
    """Whether batches that clients are allowed to make also pass."""
    most = offered.cache_capabilities.max_batch_total_size_bytes
    evidence = (Evidence("max_batch_total_size_bytes", str(most), _SOURCE),)
    if most > _LARGEST_MESSAGE:
        return [
            Finding(
                Verdict.WARNING,
                f"batches of {most} bytes are allowed, and clients take answers of {_LARGEST_MESSAGE} by default",
                "a BatchReadBlobs answer above 4 MiB ends as RESOURCE_EXHAUSTED in the client",
                evidence,
                (fix("allow batches of at most 4 MiB"),),
            )
        ]
    return [ok(f"batches of up to {most or 'any number of'} bytes", *evidence)]


CHECKS: Final = (
    Check(
        "NLD-API-01",
        "api",
        "the server speaks what clients speak",
        Level.STANDARD,
        "GetCapabilities with the instance name: versions and digest functions",
        "failed: no such instance, or another API version; warning: no SHA-256",
        "the instance name, or the client's digest function",
        _answer,
        judge_answer,
        needs=("NLD-NET-01",),
        repairs=("recorded",),
        by_hand="the instance name may be wrong on either side",
    ),
    Check(
        "NLD-API-02",
        "api",
        "batches that are allowed also pass",
        Level.STANDARD,
        "the largest batch that GetCapabilities allows",
        "warning: larger than clients take",
        "allow at most 4 MiB",
        _capabilities,
        judge_batches,
        needs=("NLD-API-01",),
        by_hand="proxies and clients between know what they take",
    ),
)
