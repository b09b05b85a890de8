"""ActionCache from the wire: results under the digests of actions (REAPI v2)."""

from __future__ import annotations

import grpc
import pytest
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as rx
from nlserver.reapi.digest import EMPTY, Digest, Function, of

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
ACTION = of(b"an action")
GOOD = rx.Digest(hash="a" * 64, size_bytes=5)


async def get(cache, action: Digest = ACTION, instance: str = "", **hints) -> rx.ActionResult:
    request = rx.GetActionResultRequest(instance_name=instance, action_digest=cache.message(action), **hints)
    return await cache.ac.GetActionResult(request)


async def update(
    cache, result: rx.ActionResult, action: Digest = ACTION, instance: str = "", **more
) -> rx.ActionResult:
    request = rx.UpdateActionResultRequest(
        instance_name=instance, action_digest=cache.message(action), action_result=result, **more
    )
    return await cache.ac.UpdateActionResult(request)


def result(**fields) -> rx.ActionResult:
    return rx.ActionResult(output_files=[rx.OutputFile(path="out/a.o", digest=GOOD)], **fields)


class TestGet:
    async def test_an_unknown_action_is_not_found(self, cache) -> None:  # AC-01
        with cache.refuses(NOT_FOUND):
            await get(cache)

    async def test_a_wrong_size_is_another_action(self, cache) -> None:
        await update(cache, result())
        with cache.refuses(NOT_FOUND):
            await get(cache, ACTION._replace(size_bytes=ACTION.size_bytes + 1))

    async def test_the_digest_of_no_bytes_never_has_a_result(self, cache) -> None:  # HD-09
        with cache.refuses(NOT_FOUND):
            await get(cache, EMPTY[Function.SHA256])
        with cache.refuses(INVALID):
            await update(cache, result(), EMPTY[Function.SHA256])

    @pytest.mark.parametrize("stored", [b"", b"\xff\xff\xff"])
    async def test_a_damaged_entry_is_a_miss(self, cache, stored) -> None:
        cache.results.blobs[ACTION] = stored
        with cache.refuses(NOT_FOUND):
            await get(cache)

    @pytest.mark.parametrize("hash_", ["", "x", "A" * 64, "a" * 63])
    async def test_a_malformed_digest_is_refused(self, cache, hash_) -> None:  # AC-18, DIG-13
        with cache.refuses(INVALID):
            await get(cache, Digest(hash_, 5))
        with cache.refuses(INVALID):
            await cache.ac.GetActionResult(rx.GetActionResultRequest())

    async def test_an_unknown_instance_is_no_miss(self, cache) -> None:  # INS-04
        with cache.refuses(INVALID, "not configured"):
            await get(cache, instance="nope")

    async def test_what_a_store_raises_beside_absence_is_no_miss(self, cache) -> None:
        async def broken(key, most=0):
            raise Error(Code.UNAVAILABLE, "the backend is away")

        cache.results.get = broken
        with cache.refuses(grpc.StatusCode.UNAVAILABLE, "the backend is away"):
            await get(cache)

    async def test_functions_keep_results_of_their_own(self, cache) -> None:  # AC-14
        await update(cache, result(), digest_function=int(Function.BLAKE3))
        with cache.refuses(NOT_FOUND):
            await get(cache)
        assert await get(cache, digest_function=int(Function.BLAKE3)) == result()


class TestUpdate:
    async def test_what_is_kept_is_answered_and_found(self, cache) -> None:  # AC-05, AC-13, AC-15
        sent = result(exit_code=-(2**31), stdout_raw=b"hello", stderr_digest=GOOD)
        sent.execution_metadata.worker = "w"
        sent.execution_metadata.worker_start_timestamp.nanos = -1  # HA-09
        sent.execution_metadata.auxiliary_metadata.add(type_url="type.googleapis.com/unknown", value=b"\xff")  # HA-06
        policy = rx.ResultsCachePolicy(priority=5)
        assert await update(cache, sent, results_cache_policy=policy) == sent
        assert await get(cache) == sent

    async def test_unknown_fields_are_kept(self, cache) -> None:
        sent = rx.ActionResult.FromString(result().SerializeToString() + b"\xa2\x06\x02hi")
        await update(cache, sent)
        assert (await get(cache)).SerializeToString().endswith(b"\xa2\x06\x02hi")

    async def test_the_last_of_two_results_stays(self, cache) -> None:  # HA-10
        await update(cache, result(exit_code=1))
        await update(cache, result(exit_code=2))
        assert (await get(cache)).exit_code == 2

    async def test_an_empty_result_is_kept_as_something(self, cache) -> None:  # AC-11
        assert await update(cache, rx.ActionResult()) == await get(cache)
        assert (await get(cache)).execution_metadata.worker

    async def test_a_read_only_instance_refuses_it_by_name(self, cache) -> None:  # AC-09
        with cache.refuses(grpc.StatusCode.PERMISSION_DENIED, "The store 'closed' is read only on this endpoint"):
            await update(cache, result(), instance="closed")
        with cache.refuses(NOT_FOUND):
            await get(cache, instance="closed")

    @pytest.mark.parametrize(
        "bad",
        [
            {"output_files": [rx.OutputFile(path="/etc/passwd", digest=GOOD)]},
            {"output_files": [rx.OutputFile(path="a\0b", digest=GOOD)]},
            {"output_files": [rx.OutputFile(path="", digest=GOOD)]},
            {"output_files": [rx.OutputFile(path="a")]},
            {"output_files": [rx.OutputFile(path="a", digest=rx.Digest(hash="A" * 64, size_bytes=5))]},
            {"output_files": [rx.OutputFile(path="a", digest=rx.Digest(hash="a" * 64, size_bytes=-1))]},
            {"output_files": [rx.OutputFile(path="a", digest=GOOD), rx.OutputFile(path="a", digest=GOOD)]},
            {"output_files": [rx.OutputFile(path="a", digest=GOOD, contents=b"lies!")]},
            {"stdout_digest": rx.Digest()},
            {"stdout_digest": GOOD, "stdout_raw": b"lies!"},
            {"stderr_digest": GOOD, "stderr_raw": b"lies!"},
            {"output_directories": [rx.OutputDirectory(path="d")]},
            {"output_directories": [rx.OutputDirectory(path="/d", tree_digest=GOOD)]},
            {"output_directories": [rx.OutputDirectory(path="d", tree_digest=rx.Digest(hash="x", size_bytes=1))]},
            {
                "output_directories": [
                    rx.OutputDirectory(path="d", tree_digest=GOOD, root_directory_digest=rx.Digest(hash="x"))
                ]
            },
            {
                "output_files": [rx.OutputFile(path="a", digest=GOOD)],
                "output_directories": [rx.OutputDirectory(path="a", tree_digest=GOOD)],
            },
            {"output_symlinks": [rx.OutputSymlink(path="/l", target="t")]},
            {
                "output_files": [rx.OutputFile(path="a", digest=GOOD)],
                "output_file_symlinks": [rx.OutputSymlink(path="a", target="t")],
            },
        ],
    )
    async def test_a_result_that_no_client_could_use_is_refused(self, cache, bad) -> None:  # AC-10, HA-01/03/08
        with cache.refuses(INVALID):
            await update(cache, rx.ActionResult(**bad))
        assert cache.results.blobs == {}

    async def test_what_real_clients_send_is_taken(self, cache) -> None:  # AC-06, AC-07, AC-10
        text = of(b"text")
        link = rx.OutputSymlink(path="l", target="/absolute/target")
        sent = rx.ActionResult(
            output_files=[
                rx.OutputFile(path="../outside/b.o", digest=GOOD, is_executable=True),
                rx.OutputFile(path="t", digest=cache.message(text), contents=b"text"),
            ],
            output_directories=[
                rx.OutputDirectory(path="", tree_digest=GOOD),
                rx.OutputDirectory(path="d", root_directory_digest=GOOD),
            ],
            output_symlinks=[link],
            output_file_symlinks=[link],
            stdout_digest=rx.Digest(hash=EMPTY[Function.SHA256].hash),
            stderr_digest=cache.message(text),
            stderr_raw=b"text",
        )
        assert await update(cache, sent) == sent

    async def test_a_result_too_large_for_clients_is_refused(self, cache) -> None:  # HA-02
        with cache.refuses(INVALID, "Upload contents to the CAS"):
            await update(cache, result(stdout_raw=bytes(4 << 20)))


class TestInline:
    async def test_small_outputs_that_a_client_asks_for_are_put_in(self, cache, store) -> None:  # AC-04
        out, err, file = (store.keep(text) for text in (b"out", b"err", b"file"))
        sent = rx.ActionResult(
            output_files=[
                rx.OutputFile(path="a.d", digest=cache.message(file)),
                rx.OutputFile(path="b.d", digest=cache.message(file)),
            ],
            stdout_digest=cache.message(out),
            stderr_digest=cache.message(err),
        )
        await update(cache, sent)
        got = await get(cache, inline_stdout=True, inline_output_files=["a.d", "nope"])
        assert (got.stdout_raw, got.stderr_raw) == (b"out", b"")
        assert [file.contents for file in got.output_files] == [b"file", b""]
        assert got.stdout_digest == sent.stdout_digest
        assert await get(cache) == sent
        assert (await get(cache, inline_stderr=True)).stderr_raw == b"err"

    async def test_large_absent_and_empty_outputs_are_left_out(self, cache, store) -> None:  # AC-04
        large = store.keep(cache.noise((64 << 10) + 1))
        await update(cache, rx.ActionResult(stdout_digest=cache.message(large), stderr_digest=GOOD, exit_code=1))
        got = await get(cache, inline_stdout=True, inline_stderr=True)
        assert (got.stdout_raw, got.stderr_raw) == (b"", b"")

    async def test_many_outputs_together_stay_below_what_clients_take(self, cache, store) -> None:
        blobs = [store.keep(cache.noise(60_000, n)) for n in range(100)]
        files = [rx.OutputFile(path=str(n), digest=cache.message(blob)) for n, blob in enumerate(blobs)]
        await update(cache, rx.ActionResult(output_files=files))
        got = await get(cache, inline_output_files=[str(n) for n in range(100)])
        assert (3 << 20) < got.ByteSize() < (4 << 20)

    async def test_what_stands_in_the_result_stays_there(self, cache) -> None:  # AC-07
        await update(cache, result(stdout_raw=b"kept"))
        assert (await get(cache, inline_stdout=True)).stdout_raw == b"kept"

    async def test_without_a_cas_beside_it_hints_change_nothing(self, cache) -> None:
        sent = result(stdout_digest=GOOD)
        await update(cache, sent, instance="a/b")
        assert await get(cache, instance="a/b", inline_stdout=True) == sent
