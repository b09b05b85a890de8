"""Speaks buildbox-casd's LocalCAS protocol; runs in BuildStream's environment, which has its messages.

local_cas.py capture ADDRESS INSTANCE DIRECTORY            prints the digest of the root as HASH/SIZE
local_cas.py stage ADDRESS INSTANCE HASH/SIZE DIRECTORY    copies what is staged to DIRECTORY
"""

from __future__ import annotations

import queue
import shutil
import sys
from pathlib import Path

import grpc
from buildstream._protos.build.bazel.remote.execution.v2 import remote_execution_pb2
from buildstream._protos.build.buildgrid import local_cas_pb2, local_cas_pb2_grpc


def capture(stub: local_cas_pb2_grpc.LocalContentAddressableStorageStub, instance: str, directory: str) -> None:
    both = remote_execution_pb2.Command.TREE_AND_DIRECTORY
    request = local_cas_pb2.CaptureTreeRequest(
        instance_name=instance, path=[str(Path(directory).resolve())], output_directory_format=both
    )
    (response,) = stub.CaptureTree(request).responses
    if response.status.code:
        sys.exit(f"{directory} was not captured: {response.status}")
    print(f"{response.root_directory_digest.hash}/{response.root_directory_digest.size_bytes}")


def stage(
    stub: local_cas_pb2_grpc.LocalContentAddressableStorageStub, instance: str, digest: str, directory: str
) -> None:
    hash_, _, size = digest.partition("/")
    root = remote_execution_pb2.Digest(hash=hash_, size_bytes=int(size))
    requests: queue.SimpleQueue[local_cas_pb2.StageTreeRequest | None] = queue.SimpleQueue()
    requests.put(
        local_cas_pb2.StageTreeRequest(
            instance_name=instance, root_digest=root, staging_mode=local_cas_pb2.StageTreeRequest.COPY_OR_LINK
        )
    )
    responses = stub.StageTree(iter(requests.get, None))
    # The directory stands until the stream is told to end.
    shutil.copytree(next(responses).path, directory, symlinks=True)
    requests.put(local_cas_pb2.StageTreeRequest())
    next(responses)
    requests.put(None)


if __name__ == "__main__":
    verb, address, *arguments = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        made = local_cas_pb2_grpc.LocalContentAddressableStorageStub(channel)
        {"capture": capture, "stage": stage}[verb](made, *arguments)
