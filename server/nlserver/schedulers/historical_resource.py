"""A scheduler that asks for as much CPU and memory as actions of the same kind once needed."""

from __future__ import annotations

from dataclasses import dataclass

from nlserver.scheduler import SchedulerSpec
from nlserver.spec import Seconds, Text, Unavailable


@dataclass(frozen=True, kw_only=True)
class HistoricalResourceSpec(Unavailable, SchedulerSpec, tag="historical_resource"):
    """Raises two platform properties of actions to what a file of hints says of their target. Not available yet."""

    instead = "Use its scheduler itself, and state the needs of large actions in the build."

    hints_file: Text
    """JSON file with the hints, a list of `{target_id, action_mnemonic, cpu_count, memory_kb}`."""
    refresh_interval_s: Seconds = 30
    """Seconds after which the file is read again; 0 reads it once."""
    cpu_property_name: Text = "cpu_count"
    """The property that counts CPUs."""
    memory_property_name: Text = "memory_kb"
    """The property that counts memory."""
    scheduler: SchedulerSpec
    """Gets the changed actions."""
