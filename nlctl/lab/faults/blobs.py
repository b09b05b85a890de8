"""Blobs that are not what or where they should be."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nlserver.reapi.digest import Digest, Function, of

from nlctl.doctor.blob import Cause
from nlctl.doctor.finding import Verdict
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab, damaged

_MIB: Final = 1 << 20
_SIZE: Final = 'max_bytes: "2gb"'


def _evicted(lab: Lab) -> Clue:
    return Clue(_pushed_out(lab).written)


def _dangling(lab: Lab) -> Clue:
    from nlserver.proto import remote_execution_pb2 as re_pb

    content = f'content_path: "{lab.ledger.data}/ac/content"'
    text = lab.ledger.config("cas").read_text(encoding="utf-8")
    begin = text.index("completeness_checking: {")
    end = text.index("cas_store: { ref_store", begin)
    inner = text[text.index("filesystem: {", begin) : end].rstrip().removesuffix("},")
    rest = text[text.index("},\n", text.index("ref_store", end)) :].split("\n", 2)[2]
    assert content in inner
    lab.write(lab.ledger.config("cas"), text[:begin] + inner + rest)
    lab.apply()
    result = re_pb.ActionResult()

    def name(digest: Digest) -> None:
        result.output_files.add(path="out", digest=re_pb.Digest(hash=digest.hash, size_bytes=digest.size_bytes))
        lab.put_result(result)

    return Clue(_pushed_out(lab, name).written)


def _pushed_out(lab: Lab, uploaded: Callable[[Digest], None] = lambda _: None) -> Digest:
    """A blob that was uploaded, and gave way to others in a CAS that is too small."""
    lab.keep(lab.ledger.data / "cas" / "content.journal")
    lab.edit("cas", _SIZE, 'max_bytes: "16mb"')
    lab.apply()
    first = lab.put(secrets.token_bytes(_MIB))
    uploaded(first)
    for _ in range(20):
        lab.put(secrets.token_bytes(_MIB))
    return first


def _corrupt(lab: Lab) -> Clue:
    digest = lab.put(secrets.token_bytes(100))
    lab.leave(lab.blob(digest))
    damaged(lab.blob(digest), bytes(100))
    return Clue(digest.written)


def _lost(lab: Lab) -> Clue:
    lab.remember_presence()
    lab.apply()
    digest = lab.put(secrets.token_bytes(100))
    lab.known(digest)
    lab.blob(digest).unlink()
    return Clue(digest.written)


def _fast_only(lab: Lab) -> Clue:
    data = secrets.token_bytes(100)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "blob").write_bytes(data)
        lab.run("/bin/cat", "blob", inputs=Path(folder))
    lab.blob(of(data)).unlink()
    return Clue(of(data).written)


def _wrong_size(lab: Lab) -> Clue:
    digest = lab.put(secrets.token_bytes(100))
    return Clue(f"{digest.hash}/99")


def _wrong_function(lab: Lab) -> Clue:
    return Clue(lab.put(secrets.token_bytes(100), function=Function.BLAKE3).written)


def _wrong_instance(lab: Lab) -> Clue:
    lab.edit(
        "cas",
        "stores: [\n",
        'stores: [\n    { name: "TEAM_STORE", memory: { eviction_policy: { max_bytes: "20mb" } } },\n',
    )
    team = '{ instance_name: "team", cas_store: "TEAM_STORE" }'
    for service in ("cas", "bytestream"):
        lab.edit(
            "cas", f'{service}: [{{ cas_store: "CAS_STORE" }}]', f'{service}: [{{ cas_store: "CAS_STORE" }}, {team}]'
        )
    lab.apply()
    return Clue(lab.put(secrets.token_bytes(100), instance="team").written)


def _never(lab: Lab) -> Clue:
    return Clue(of(secrets.token_bytes(100)).written)


FAULTS: Final = (
    Injection(
        "evicted-blob",
        "the CAS is too small",
        "The CAS keeps 16 MB. A blob that was uploaded a moment ago gave way to later ones.",
        _evicted,
        "NLD-STO-05",
        Verdict.WARNING,
        Cause.EVICTED,
        mended_by=("recorded",),
    ),
    Injection(
        "dangling-result",
        "a result names a blob that is gone",
        "The action cache has no completeness_checking above it: a client is told that its action is done, and then "
        "does not find the output.",
        _dangling,
        cause=Cause.AC_DANGLING,
        mended_by=("dangling",),
    ),
    Injection(
        "corrupt-blob",
        "the bytes of a blob changed",
        "Something wrote into the directory of the CAS: the blob no longer hashes to its name.",
        _corrupt,
        cause=Cause.CORRUPT,
        mended_by=("blob",),
    ),
    Injection(
        "lost-file",
        "the file of a blob is gone behind the store's back",
        "Somebody removed a file by hand. The CAS, which remembers what it has, still lists the blob.",
        _lost,
        cause=Cause.STALE_INDEX,
    ),
    Injection(
        "fast-only",
        "only a worker has a blob",
        "The CAS lost a blob which the fast tier of the workers still has.",
        _fast_only,
        cause=Cause.FAST_ONLY,
        mended_by=("blob",),
    ),
    Injection(
        "wrong-size",
        "a digest with another size",
        "The hash is right and the size is not: a digest was put together by hand.",
        _wrong_size,
        cause=Cause.WRONG_SIZE,
    ),
    Injection(
        "wrong-function",
        "a digest by another function",
        "The blob was uploaded under its BLAKE3 digest, and is asked for as SHA-256.",
        _wrong_function,
        cause=Cause.WRONG_FUNCTION,
    ),
    Injection(
        "other-instance",
        "a blob of another instance",
        "The CAS serves a second instance, `team`, with a store of its own, and the blob was uploaded there.",
        _wrong_instance,
        cause=Cause.WRONG_INSTANCE,
    ),
    Injection(
        "never-uploaded",
        "nobody uploaded it",
        "A client believes that it uploaded a blob, and remembers another server.",
        _never,
        cause=Cause.NEVER_UPLOADED,
    ),
)
