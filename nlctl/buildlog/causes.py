"""What the words of an error stand for. Pure.

The texts are those of Bazel, of gRPC and of servers, as issues show them; the first entry that fits counts, so the
particular stand before the general.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from nlctl.faults import Fix, fix

DIGEST: Final = "DIGEST"
"""Stands in a command for the digest that the words name; it stays where they name none."""


class Cause(StrEnum):
    """Why a build went wrong. The names are stable."""

    MISSING_BLOB = "MISSING_BLOB"
    TIMEOUT_REFUSED = "TIMEOUT_REFUSED"
    ACTION_TIMEOUT = "ACTION_TIMEOUT"
    NO_WORKER = "NO_WORKER"
    NO_EXECUTION = "NO_EXECUTION"
    WRONG_INSTANCE = "WRONG_INSTANCE"
    DIGEST_FUNCTION = "DIGEST_FUNCTION"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    NO_SPACE = "NO_SPACE"
    TLS = "TLS"
    DENIED = "DENIED"
    TIMEOUT = "TIMEOUT"
    UNREACHABLE = "UNREACHABLE"
    WRONG_MACHINE = "WRONG_MACHINE"
    NO_PROGRAM = "NO_PROGRAM"
    LOST_WORKER = "LOST_WORKER"
    COMMAND_FAILED = "COMMAND_FAILED"
    BAD_OPTION = "BAD_OPTION"
    INTERRUPTED = "INTERRUPTED"
    OTHER = "OTHER"


class Meaning(NamedTuple):
    """What a cause means, and what to do."""

    what: str
    because: str
    fixes: tuple[Fix, ...]


_TEXTS: Final[Sequence[tuple[Cause, re.Pattern[str]]]] = [
    (cause, re.compile("|".join(patterns), re.IGNORECASE))
    for cause, *patterns in (
        (
            Cause.MISSING_BLOB,
            r"missing (?:\d+ )?(?:cas )?(?:digests?|blobs?)\b",
            r"lost inputs",
            r"not found in either fast or slow",
            r"cachenotfoundexception",
            r"failed to fetch blobs?",
            r"no longer available remotely",
            r"could not make hardlink",
            r"(?:\bblobs?|object|input|digest) .{0,200}(?:not found|missing from)",
            r"evicted from the remote cache",
        ),
        (
            Cause.TIMEOUT_REFUSED,
            r"greater than the maximum allowed timeout",
            r"timeout .{0,80}exceeds .{0,40}maximum",
        ),
        (
            Cause.NO_WORKER,
            r"no workers? exist",
            r"no worker .{0,60}(?:match|satisf|can run)",
            r"matches no worker",
            r"no eligible queue",
            r"not eligible for queue",
        ),
        (
            Cause.WRONG_INSTANCE,
            r"instance[_ ]?name.{0,120}(?:not configured|unknown|not found)",
            r"unknown instance",
        ),
        (
            Cause.NO_EXECUTION,
            r"remote execution is not (?:supported|enabled)",
            r"execution is not enabled",
            r"not support remote execution",
        ),
        (
            Cause.DIGEST_FUNCTION,
            r"cannot use hash function",
            r"(?:digest|hash) function .{0,80}(?:not supported|unsupported|unknown)",
        ),
        (
            Cause.MESSAGE_TOO_LARGE,
            r"larger than max",
            r"message (?:size|length) .{0,60}(?:exceeds|too large)",
            r"exceeds maximum (?:length|size)",
        ),
        (
            Cause.NO_SPACE,
            r"no space left",
            r"enospc",
            r"out of (?:disk|storage) space",
            r"insufficient storage",
            r"disk quota",
        ),
        (
            Cause.TLS,
            r"sslhandshake",
            r"pkix path",
            r"certificate",
            r"not an ssl/tls record",
            r"wrong_version_number",
            r"tls handshake",
            r"http/2 client preface",
            r"first received frame was not settings",
        ),
        (
            Cause.DENIED,
            r"permission_?denied",
            r"unauthenticated",
            r"not authorized",
            r"40[13] (?:forbidden|unauthorized)",
        ),
        (
            Cause.LOST_WORKER,
            r"attempted to execute too many times",
            r"worker .{0,60}(?:disconnected|timed out|went away)",
        ),
        (Cause.ACTION_TIMEOUT, r"(?:execution|action) timed out", r"\(timeout\)", r"^timeout: //"),
        (Cause.TIMEOUT, r"deadline_?exceeded", r"deadline exceeded", r"timed out", r"timeout after"),
        (
            Cause.UNREACHABLE,
            r"\bunavailable\b",
            r"connection (?:refused|reset)",
            r"io exception",
            r"unknownhost",
            r"unresolved ?address",
            r"no route to host",
            r"network closed",
            r"channel shutdown",
            r"failed to query remote execution capabilities",
            r"goaway",
        ),
        (Cause.WRONG_MACHINE, r"exec format error", r"cannot execute binary file", r"wrong elf class"),
        (Cause.NO_PROGRAM, r"\(exit 127\)", r"execvp.{0,200}no such file"),
        (Cause.INTERRUPTED, r"build interrupted", r"interrupted by user"),
        (Cause.BAD_OPTION, r"unrecognized option", r"config value .{0,60}not defined"),
        (Cause.COMMAND_FAILED, r"\(exit \d+\)", r"exit code \d+", r"\((?:segmentation fault|killed|aborted)\)"),
    )
]


def of_text(text: str) -> Cause:
    """What these words stand for."""
    return next((cause for cause, pattern in _TEXTS if pattern.search(text)), Cause.OTHER)


_NET: Final = fix("go there layer by layer", "nlctl", "doctor", "net", "--count", "3")
_WRITE: Final = fix("write the right lines", "nlctl", "bazelrc", "--write")


def fixes(cause: Cause, digest: str = "") -> tuple[Fix, ...]:
    """What to do, about this digest."""
    return tuple(
        fix(one.text, *(digest if digest and word == DIGEST else word for word in one.command))
        for one in MEANINGS[cause].fixes
    )


MEANINGS: Final[dict[Cause, Meaning]] = {
    Cause.MISSING_BLOB: Meaning(
        "a blob that the build relies on is not in the CAS",
        "it was evicted, or never came there, or a worker reads from another CAS than the client writes to",
        (
            fix("find out which", "nlctl", "doctor", "object", DIGEST),
            fix(
                "let Bazel begin anew when inputs are lost: --experimental_remote_cache_eviction_retries=5 (Bazel 6.2)"
            ),
        ),
    ),
    Cause.TIMEOUT_REFUSED: Meaning(
        "the action asks for more time than workers give",
        "a worker refuses what asks for more than its max_action_timeout_s",
        (
            fix("see what the files say", "nlctl", "doctor", "config"),
            fix("raise max_action_timeout_s of the workers, or lower --test_timeout"),
        ),
    ),
    Cause.ACTION_TIMEOUT: Meaning(
        "a command ran longer than it may",
        "the limit is that of the test or of the action, not of the cluster",
        (fix("raise it (size or timeout of the test, --test_timeout), or see where the time goes"),),
    ),
    Cause.NO_WORKER: Meaning(
        "no worker offers what the action asks for",
        "a platform property differs between the client and every worker",
        (
            fix("see which", "nlctl", "doctor", "action", DIGEST),
            fix("see what workers offer", "nlctl", "workers", "ls"),
        ),
    ),
    Cause.NO_EXECUTION: Meaning(
        "the server there does not execute",
        "the address is that of a cache, or capabilities are not served for this instance",
        (_WRITE, fix("see what the endpoint offers", "nlctl", "doctor", "api")),
    ),
    Cause.WRONG_INSTANCE: Meaning(
        "the server does not know the instance name",
        "--remote_instance_name must be one of the config's instance_name",
        (_WRITE, fix("or leave --remote_instance_name out")),
    ),
    Cause.DIGEST_FUNCTION: Meaning(
        "client and server name blobs by different hash functions",
        "all parts must use one digest function",
        (fix("start Bazel with --digest_function=SHA256"),),
    ),
    Cause.MESSAGE_TOO_LARGE: Meaning(
        "a message was larger than the other side takes",
        "gRPC takes 4 MiB by default; often a proxy in between has its own limit",
        (fix("see what limit is announced", "nlctl", "doctor", "api"), fix("raise the limit of the proxy")),
    ),
    Cause.NO_SPACE: Meaning(
        "a disk is full",
        "eviction looks at the limits of the config, not at what is free",
        (fix("see which", "nlctl", "doctor", "storage"), fix("lower max_bytes below the size of the volume")),
    ),
    Cause.TLS: Meaning(
        "the two sides do not agree on a secure connection",
        "grpc:// is without TLS and grpcs:// with it; the certificate must be valid and of a known authority",
        (_NET, fix("--tls_certificate=FILE names the authority")),
    ),
    Cause.DENIED: Meaning(
        "the server refuses what the client asks",
        "the token, key or certificate does not give this right",
        (fix("ask the owner of this endpoint for access"), fix("or build with --noremote_upload_local_results")),
    ),
    Cause.TIMEOUT: Meaning(
        "a call took longer than --remote_timeout",
        "60 s by default: too short for large blobs on a slow line, and long for a server that hangs",
        (fix("--remote_timeout=600"), _NET, fix("see how fast the CAS is", "nlctl", "bench", "cas")),
    ),
    Cause.UNREACHABLE: Meaning(
        "the server was not reached, or the connection broke",
        "nothing listens there, or something in between cuts connections",
        (_NET, _WRITE, fix("start the cluster", "nlctl", "up")),
    ),
    Cause.WRONG_MACHINE: Meaning(
        "a program of another kind of machine was run",
        "the worker's processor or system is not what the toolchain was made for",
        (fix("see what workers offer", "nlctl", "workers", "ls"), fix("ask for ISA in exec_properties")),
    ),
    Cause.NO_PROGRAM: Meaning(
        "the worker does not have the program",
        "a remote action finds what it declares as input and what the worker's machine has, not what yours has",
        (fix("install it on the workers, or declare it as a tool or toolchain"),),
    ),
    Cause.LOST_WORKER: Meaning(
        "workers were lost while they ran the action",
        "out of memory, a timeout that is too short, or a broken stream",
        (fix("see what they say", "nlctl", "logs", "--level", "warn"), fix("and", "nlctl", "doctor", "workers")),
    ),
    Cause.COMMAND_FAILED: Meaning(
        "the command of an action failed: the cluster did its part",
        "the words below the error are the command's own",
        (
            fix("how it ended, and where", "nlctl", "doctor", "action", DIGEST),
            fix("run it by hand with its inputs", "nlctl", "action", "local", DIGEST),
        ),
    ),
    Cause.BAD_OPTION: Meaning(
        "Bazel did not understand its options",
        "options differ between releases of Bazel",
        (fix("see what does not go with the cluster", "nlctl", "bazelrc", "--check"),),
    ),
    Cause.INTERRUPTED: Meaning(
        "the build was ended from outside",
        "somebody, or the time limit of a CI job, stopped it: what it waited for is the question",
        (
            fix("see what waits", "nlctl", "queue", "ls"),
            fix("see what the last operations came to", "nlctl", "ops", "ls"),
        ),
    ),
    Cause.OTHER: Meaning(
        "the build failed",
        "these words are none that nlctl knows",
        (fix("examine the cluster", "nlctl", "doctor"),),
    ),
}
"""What each cause means."""
