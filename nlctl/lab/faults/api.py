"""Servers that say one thing and do another, and configs that let them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.tree import message_of

from nlctl.doctor.finding import Verdict
from nlctl.lab.elsewhere import known_as
from nlctl.lab.injection import Clue, Injection
from nlctl.lab.lab import Lab
from nlctl.launch.wish import HOST

_SMALL_MESSAGE: Final = 2 << 20
_RESULTS: Final = 20


def _behind(mistake: str) -> Callable[[Lab], Clue]:
    return partial(_facade, mistake)


def _facade(mistake: str, lab: Lab) -> Clue:
    port = lab.stand_in("facade", f"{HOST}:{lab.ports.cas}", mistake)
    return Clue(flags=("--endpoint", f"grpc://{HOST}:{port}"))


def _beside_execution(mistake: str) -> Callable[[Lab], Clue]:
    return partial(_half, mistake)


def _half(mistake: str, lab: Lab) -> Clue:
    [_, url] = _facade(mistake, lab).flags
    return known_as(lab, url, executor=str(lab.target.executor))


def _no_worker(lab: Lab) -> Clue:
    return Clue(flags=("--endpoint", f"grpc://{HOST}:{lab.other_server().cas}"))


def _no_execution(lab: Lab) -> None:
    lab.edit("scheduler", 'capabilities: [{ remote_execution: { scheduler: "MAIN_SCHEDULER" } }]', "capabilities: []")
    lab.apply()


def _small_messages(lab: Lab) -> None:
    address = f'socket_address: "{HOST}:{lab.ports.cas}"'
    lab.edit("cas", address, f"{address}, max_decoding_message_size: {_SMALL_MESSAGE}")
    lab.apply()


def _no_bytestream(lab: Lab) -> None:
    lab.edit("cas", 'bytestream: [{ cas_store: "CAS_STORE" }],', "")
    lab.apply()


def _noop(lab: Lab) -> None:
    lab.edit("cas", "stores: [\n", 'stores: [\n    { name: "NOTHING", noop: {} },\n')
    for service in ("cas", "bytestream"):
        lab.edit("cas", f'{service}: [{{ cas_store: "CAS_STORE" }}]', f'{service}: [{{ cas_store: "NOTHING" }}]')
    lab.apply()


def _cleaned(lab: Lab) -> None:
    text = lab.ledger.config("cas").read_text(encoding="utf-8")
    begin = text.index("completeness_checking: {")
    end = text.index("},\n    {\n      // Which blob")
    own = lab.ledger.data / "results"
    files = f'content_path: "{own}/content", temp_path: "{own}/incoming", eviction_policy: {{ max_bytes: "500mb" }}'
    lab.write(lab.ledger.config("cas"), f"{text[:begin]}filesystem: {{ {files} }},\n    {text[end:]}")
    lab.apply()
    for _ in range(_RESULTS):
        digest = lab.put(secrets.token_bytes(100))
        lab.put_result(re_pb.ActionResult(output_files=[re_pb.OutputFile(path="out", digest=message_of(digest))]))
        lab.blob(digest).unlink()


FAULTS: Final = (
    Injection(
        "no-worker",
        "actions are taken, and nobody runs them",
        "The client was given a server to which no worker is connected, and which does not tell of its workers.",
        _no_worker,
        "NLD-EXE-01",
        Verdict.WARNING,
    ),
    Injection(
        "old-server",
        "a server of another protocol",
        "The client was given a server which speaks version 1 of the API alone.",
        _behind("old"),
        "NLD-API-01",
    ),
    Injection(
        "no-sha256",
        "a server without SHA-256",
        "The CAS takes BLAKE3 alone, and clients use SHA-256 unless they are told otherwise.",
        _beside_execution("blake3-only"),
        "NLD-API-01",
        Verdict.WARNING,
    ),
    Injection(
        "large-batches",
        "batches larger than clients take",
        "The server allows batches of 64 MiB, and the answer to one is more than clients take.",
        _behind("large-batches"),
        "NLD-API-02",
        Verdict.WARNING,
    ),
    Injection(
        "no-execution",
        "the execution endpoint does not say that it executes",
        "The capabilities of the scheduler's listener say nothing of execution: clients refuse to build remotely.",
        _no_execution,
        "NLD-API-03",
    ),
    Injection(
        "half-known-function",
        "a digest function that one of two endpoints knows",
        "Execution takes actions by SHA-256 and by BLAKE3, and the CAS in use beside it announces SHA-256 alone.",
        _beside_execution("announces-sha256"),
        "NLD-API-03",
        Verdict.INFO,
    ),
    Injection(
        "small-proxy",
        "a proxy that lets small messages pass alone",
        "Between client and CAS is a proxy which takes messages of 2 MiB, less than a batch may have.",
        _behind("small-messages"),
        "NLD-API-04",
        Verdict.WARNING,
    ),
    Injection(
        "small-messages",
        "a listener that takes small messages alone",
        "The listener of the CAS was given a max_decoding_message_size of 2 MiB, less than a batch may have.",
        _small_messages,
        "NLD-API-05",
        Verdict.WARNING,
    ),
    Injection(
        "keeps-nothing",
        "the CAS forgets what it is given",
        "Somebody tried the store `noop` for the CAS: it takes every blob and keeps none.",
        _noop,
        "NLD-CAS-01",
    ),
    Injection(
        "no-bytestream",
        "the CAS takes small blobs alone",
        "The listener of the CAS has no service `bytestream`: what does not fit into a batch cannot be uploaded.",
        _no_bytestream,
        "NLD-CAS-02",
    ),
    Injection(
        "no-empty-blob",
        "a server that lacks the empty blob",
        "The server treats the blob of no bytes like any other, and nobody has uploaded it.",
        _behind("empty-blob"),
        "NLD-CAS-03",
        Verdict.WARNING,
        mended_by=("empty_blob",),
    ),
    Injection(
        "no-compression",
        "compression that is announced and refused",
        "Two servers behind one address: the one that tells the capabilities announces zstd, the other refuses it.",
        _behind("compressed"),
        "NLD-CAS-04",
    ),
    Injection(
        "no-blake3",
        "a digest function that is announced and refused",
        "The server announces SHA-256 and BLAKE3, and what stands behind it takes SHA-256 alone.",
        _behind("sha256-only"),
        "NLD-CAS-05",
    ),
    Injection(
        "cleaned-cas",
        "many results name what is gone",
        "A job that cleans up removed files of the CAS, and nothing checks results before clients are given them.",
        _cleaned,
        "NLD-AC-02",
        mended_by=("dangling",),
        leaves="NLD-CFG-01",
    ),
)
