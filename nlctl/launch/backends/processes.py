"""Members as local processes under one supervisor, which outlives the terminal and is reached over a Unix socket."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, Final

from nlctl.faults import SUPERVISOR_LOST, Fault, fix
from nlctl.launch.backend import Report, Used
from nlctl.launch.ledger import Ledger
from nlctl.launch.process import children, end, proportional_bytes, usage
from nlctl.launch.roster import Wanted

_SOCKET: Final = "supervisor.sock"
# Without -P files of the folder where somebody says `nlctl up` would be taken for our modules.
_SUPERVISOR: Final = ("-P", "-m", "nlctl.launch.supervisor")
_ANSWER_SECONDS: Final = 15.0
_START_SECONDS: Final = 60.0
"""A supervisor that was just started imports the engine first, which takes long on a machine that is overloaded."""
_FIELDS: Final = tuple(Report.__dataclass_fields__)


class Processes:
    """The processes of one cluster. `program` is what Python runs as the supervisor: told the folder and a socket."""

    def __init__(self, ledger: Ledger, program: Sequence[str] = _SUPERVISOR) -> None:
        self._ledger = ledger
        self._program = program

    def reports(self) -> list[Report] | None:
        """All members; None when there is no supervisor."""
        with self._connected() as line:
            return None if line is None else [_report(one) for one in line.ask({"op": "status"})["members"]]

    def runs(self) -> bool:
        """Whether there is a supervisor."""
        return self.supervisor() is not None

    def supervisor(self) -> int | None:
        """The supervisor's process id."""
        with self._connected() as line:
            return None if line is None else int(line.ask({"op": "status"})["pid"])

    def start(self) -> None:
        """Start the supervisor unless there is one.

        The socket listens before the supervisor exists, so that requests wait for it in the socket's queue and
        nobody has to poll.
        """
        with self._connected() as line:
            if line is not None:
                return
        self._ledger.run.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            (self._ledger.run / _SOCKET).unlink()
        with self._address() as address, socket.socket(socket.AF_UNIX) as listening:
            listening.bind(address)
            os.chmod(self._ledger.run / _SOCKET, 0o600)
            listening.listen(64)
            self._spawn(listening.fileno())

    def apply(self, wanted: Sequence[Wanted], grace_seconds: float) -> None:
        """Run exactly these members."""
        request = {"op": "apply", "members": [asdict(one) for one in wanted], "grace_seconds": grace_seconds}
        with self._required() as line:
            line.ask(request, _START_SECONDS)

    def restart(self, fingerprints: Mapping[str, str], grace_seconds: float) -> None:
        """Start these members anew; each may finish what it does for so long. What each then runs has this fingerprint.

        "" leaves it as it is.
        """
        with self._required() as line:
            # A supervisor of before reads the names alone.
            request = {"op": "restart", "names": list(fingerprints), "fingerprints": dict(fingerprints)}
            line.ask({**request, "grace_seconds": grace_seconds})

    def watch(self, deadline: float) -> Iterator[Report]:
        """Every member as it stands, then each change."""
        with self._required() as line:
            for one in line.ask({"op": "watch"})["members"]:
                yield _report(one)
            yield from line.changes(deadline)

    def stop(self, grace_seconds: float, deadline: float) -> Iterator[Report]:
        """End all members and the supervisor."""
        with self._connected() as line:
            if line is None:
                return
            line.ask({"op": "watch"})
            line.say({"op": "stop", "grace_seconds": grace_seconds})
            yield from line.changes(deadline)

    def sweep(self, grace_seconds: float) -> int:
        """End parts that lost their supervisor."""
        orphans = self._ledger.leftovers()
        end(orphans, grace_seconds)
        return len(orphans)

    def used(self, reports: Sequence[Report]) -> dict[str, Used]:
        """What the processes of these members use: each itself, and those that serve under it."""
        found = ((one.name, _used(_pids(one))) for one in reports)
        return {name: used for name, used in found if used is not None}

    def gather_logs(self) -> None:
        """Processes write to the ledger's files themselves."""

    def data_bytes(self) -> int:
        """What the folder of data takes."""
        return self._ledger.bytes_of_data()

    def forget(self, *, data: bool) -> None:
        """Nothing: all that processes leave is in the ledger's folder."""

    def _spawn(self, listening: int) -> None:
        # Only the command that starts a cluster pays for this import.
        import subprocess

        command = [sys.executable, *self._program, str(self._ledger.home), str(listening)]
        log = os.open(self._ledger.log("supervisor"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # Nobody waits for it: it is meant to outlive this command, and whether it lives shows on its socket.
            subprocess.Popen(
                command, pass_fds=[listening], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        finally:
            os.close(log)

    @contextmanager
    def _required(self) -> Iterator[_Line]:
        with self._connected() as line:
            if line is None:
                raise lost(self._ledger)
            yield line

    @contextmanager
    def _connected(self) -> Iterator[_Line | None]:
        connection = socket.socket(socket.AF_UNIX)
        # No command is held up by a supervisor that hangs.
        connection.settimeout(_ANSWER_SECONDS)
        try:
            with self._address() as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            yield None
            return
        with connection:
            yield _Line(connection, self._ledger)

    @contextmanager
    def _address(self) -> Iterator[str]:
        """The socket's address by way of an open folder: the path itself may be longer than an address can be."""
        folder = os.open(self._ledger.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{_SOCKET}"
        finally:
            os.close(folder)


class _Line:
    """A conversation with the supervisor, one JSON object a line."""

    def __init__(self, connection: socket.socket, ledger: Ledger) -> None:
        self._connection = connection
        self._ledger = ledger
        self._unread = b""

    def say(self, request: dict[str, Any]) -> None:
        """Send a request."""
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise lost(self._ledger) from error

    def ask(self, request: dict[str, Any], patience_seconds: float = _ANSWER_SECONDS) -> dict[str, Any]:
        """Send a request and read its answer."""
        self.say(request)
        answer = self._next(time.monotonic() + patience_seconds)
        if answer is None or answer["event"] == "refused":
            raise lost(self._ledger, "" if answer is None else str(answer["message"]))
        return answer

    def changes(self, deadline: float) -> Iterator[Report]:
        """What the supervisor tells of members, until the deadline or its end."""
        while (message := self._next(deadline)) is not None:
            if message["event"] == "member":
                yield _report(message)

    def _next(self, deadline: float) -> dict[str, Any] | None:
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._connection.settimeout(left)
            try:
                data = self._connection.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message


def _pids(report: Report) -> list[int]:
    if report.pid is None:
        return []
    return [report.pid, *(children(report.pid) if report.processes > 1 else ())]


def _used(pids: Sequence[int]) -> Used | None:
    found = [one for one in map(usage, pids) if one is not None]
    if not found:
        return None
    return Used(
        sum(seconds for seconds, _ in found),
        sum(resident for _, resident in found),
        sum(filter(None, map(proportional_bytes, pids))),
        len(pids) - 1 if len(pids) > 1 else len(pids),
    )


def _report(message: dict[str, Any]) -> Report:
    values = {name: message[name] for name in _FIELDS if name in message}
    return Report(**{**values, "after": tuple(values.get("after", ()))})


def lost(ledger: Ledger, why: str = "") -> Fault:
    """The supervisor ended, or does not answer."""
    return Fault(
        SUPERVISOR_LOST,
        f"the supervisor of cluster {ledger.name!r} does not answer",
        why=why or f"it should listen on {ledger.run / _SOCKET}",
        fixes=[fix("bring the cluster up again", "nlctl", "up", "--name", ledger.name)],
        log=tail(ledger, "supervisor"),
    )


def tail(ledger: Ledger, part: str, lines: int = 20) -> str:
    """The last lines of a part's log."""
    try:
        with open(ledger.log(part), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
