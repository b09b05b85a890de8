"""Execution and google.longrunning.Operations: actions in, operations out (REAPI v2, Execute and WaitExecution)."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.service import InstanceSpec
from nlserver.spec import Text


@dataclass(frozen=True, kw_only=True)
class ExecutionSpec(InstanceSpec):
    """Executes actions of an instance; serves google.longrunning.Operations beside it."""

    instance_name: str = ""
    """The name that clients give as `instance_name`; empty is the default instance."""
    cas_store: Text
    """The store that holds actions, commands and inputs, by its name in `stores`."""
    scheduler: Text
    """The scheduler that gives actions to workers, by its name in `schedulers`."""
