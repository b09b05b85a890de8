"""The RPCs that a client of the Remote Execution API calls, with how their answers are read."""

from __future__ import annotations

from typing import Final

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from nlserver.proto import bytestream_pb2
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.channel import Method
from nlserver.reapi.wire import read_data

_REAPI: Final = "/build.bazel.remote.execution.v2"
_BYTE_STREAM: Final = "/google.bytestream.ByteStream"
_CAS: Final = f"{_REAPI}.ContentAddressableStorage"
_CACHE: Final = f"{_REAPI}.ActionCache"
_EXECUTION: Final = f"{_REAPI}.Execution"
_OPERATIONS: Final = "/google.longrunning.Operations"

GET_CAPABILITIES: Final = Method[re_pb.GetCapabilitiesRequest, re_pb.ServerCapabilities](
    f"{_REAPI}.Capabilities/GetCapabilities", re_pb.ServerCapabilities.FromString
)
FIND_MISSING: Final = Method[re_pb.FindMissingBlobsRequest, re_pb.FindMissingBlobsResponse](
    f"{_CAS}/FindMissingBlobs", re_pb.FindMissingBlobsResponse.FromString
)
BATCH_UPDATE: Final = Method[bytes, re_pb.BatchUpdateBlobsResponse](
    f"{_CAS}/BatchUpdateBlobs", re_pb.BatchUpdateBlobsResponse.FromString
)
BATCH_READ: Final = Method[re_pb.BatchReadBlobsRequest, re_pb.BatchReadBlobsResponse](
    f"{_CAS}/BatchReadBlobs", re_pb.BatchReadBlobsResponse.FromString
)
GET_TREE: Final = Method[re_pb.GetTreeRequest, re_pb.GetTreeResponse](
    f"{_CAS}/GetTree", re_pb.GetTreeResponse.FromString
)
SPLIT: Final = Method[re_pb.SplitBlobRequest, re_pb.SplitBlobResponse](
    f"{_CAS}/SplitBlob", re_pb.SplitBlobResponse.FromString
)
SPLICE: Final = Method[re_pb.SpliceBlobRequest, re_pb.SpliceBlobResponse](
    f"{_CAS}/SpliceBlob", re_pb.SpliceBlobResponse.FromString
)
READ: Final = Method[bytestream_pb2.ReadRequest, bytes](f"{_BYTE_STREAM}/Read", read_data)
WRITE: Final = Method[bytes, bytestream_pb2.WriteResponse](
    f"{_BYTE_STREAM}/Write", bytestream_pb2.WriteResponse.FromString
)
QUERY_WRITE_STATUS: Final = Method[bytestream_pb2.QueryWriteStatusRequest, bytestream_pb2.QueryWriteStatusResponse](
    f"{_BYTE_STREAM}/QueryWriteStatus", bytestream_pb2.QueryWriteStatusResponse.FromString
)
GET_ACTION_RESULT: Final = Method[re_pb.GetActionResultRequest, bytes](f"{_CACHE}/GetActionResult", bytes)
"""The answer is the serialised ActionResult."""
UPDATE_ACTION_RESULT: Final = Method[bytes, bytes](f"{_CACHE}/UpdateActionResult", bytes)
"""Request and answer are serialised."""
EXECUTE: Final = Method[re_pb.ExecuteRequest, operations_pb2.Operation](
    f"{_EXECUTION}/Execute", operations_pb2.Operation.FromString
)
WAIT_EXECUTION: Final = Method[re_pb.WaitExecutionRequest, operations_pb2.Operation](
    f"{_EXECUTION}/WaitExecution", operations_pb2.Operation.FromString
)
CANCEL_OPERATION: Final = Method[operations_pb2.CancelOperationRequest, empty_pb2.Empty](
    f"{_OPERATIONS}/CancelOperation", empty_pb2.Empty.FromString
)
LIST_OPERATIONS: Final = Method[operations_pb2.ListOperationsRequest, operations_pb2.ListOperationsResponse](
    f"{_OPERATIONS}/ListOperations", operations_pb2.ListOperationsResponse.FromString
)
