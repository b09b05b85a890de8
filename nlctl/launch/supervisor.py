"""The process that keeps a cluster's parts running: `python -m nlctl.launch.supervisor HOME SOCKET_FD`.

It imports the engine once and forks each part, so that a part costs milliseconds and little memory. It never creates a
gRPC object itself, because none survives a fork: it is spoken to over a Unix socket in JSON lines. What shall happen is
decided by `roster`; this module only carries it out.

    {"op": "apply", "members": [...], "grace_seconds": 30}   {"op": "status"}   {"op": "watch"}
    {"op": "restart", "names": [...], "fingerprints": {...}, "grace_seconds": 60}   {"op": "stop", "grace_seconds": 10}
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nlserver import forked

from nlctl.launch import child, journal
from nlctl.launch.ledger import Ledger, write
from nlctl.launch.process import identity
from nlctl.launch.roster import Changed, Effect, Roster, Start, State, Terminate, Unit, Wanted

_ENGINE: Final = (
    "nlserver.app",
    "nlserver.cluster",
    "nlserver.listener",
    "nlserver.schedulers.simple",
    "nlserver.services.ac",
    "nlserver.services.admin",
    "nlserver.services.bytestream",
    "nlserver.services.capabilities",
    "nlserver.services.cas",
    "nlserver.services.execution",
    "nlserver.services.worker_api",
    "nlserver.stores.fast_slow",
    "nlserver.stores.filesystem",
    "nlserver.stores.grpc",
    "nlserver.worker.local",
    "uvloop",
)
_LONGEST_REQUEST: Final = 4 << 20
_MOST_UNREAD: Final = 4 << 20


class _Client:
    """One connection: what it has sent of a line, what it has not yet read of ours, and whether it watches."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.unfinished = b""
        self.unsent = b""
        self.watches = False


class Supervisor:
    """Runs until nothing is wanted any more. `listening` is the bound socket that commands connect to.

    `become` turns a forked process into a member: see `child.become`.
    """

    def __init__(
        self,
        ledger: Ledger,
        listening: socket.socket,
        become: Callable[[Wanted, Path, int, int], int] = child.become,
    ) -> None:
        self._become_member = become
        self._ledger = ledger
        self._listening = listening
        self._roster = Roster()
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        self._pipes: dict[str, int] = {}
        self._pidfds: dict[str, int] = {}
        self._asked = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the members are gone and nobody is connected."""
        self._listening.setblocking(False)
        self._watch(self._listening, self._accept)
        self._watch(self._wake_read, self._signalled)
        signal.set_wakeup_fd(self._wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while not (self._asked and self._roster.empty):
            self._look(self._timeout())
        with suppress(FileNotFoundError):
            (self._ledger.run / "supervisor.sock").unlink()
        for client in list(self._clients):
            self._drop(client)

    def _look(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            # What was handled before in this round may have unregistered this one, or given its number away.
            current = self._selector.get_map().get(key.fd)
            if current is not None and current.data is key.data:
                key.data()
        journal.rotate(self._ledger.log("supervisor"))
        self._do(self._roster.settle(time.monotonic()))

    def _timeout(self) -> float | None:
        deadline = self._roster.deadline()
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _watch(self, source: Any, call: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, call)

    def _signalled(self) -> None:
        for number in os.read(self._wake_read, 64):
            _say("stopping", signal=signal.Signals(number).name)
            self._stop(self._roster.grace_seconds)

    # Effects

    def _do(self, effects: Sequence[Effect]) -> None:
        changed = False
        for effect in effects:
            match effect:
                case Start(wanted):
                    self._do(self._roster.started(wanted.name, self._fork(wanted), time.monotonic()))
                case Terminate(name, pid, kill):
                    _say("killing" if kill else "terminating", member=name, pid=pid)
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
                case Changed(name, gone):
                    changed = True
                    self._publish(name, gone)
        if changed:
            self._note()

    def _fork(self, wanted: Wanted) -> int:
        read, ready = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            forked.leave(lambda: self._become(wanted, ready, supervisor))
        os.close(ready)
        pidfd = os.pidfd_open(pid)
        self._pipes[wanted.name], self._pidfds[wanted.name] = read, pidfd
        self._watch(read, lambda: self._ready(wanted.name))
        self._watch(pidfd, lambda: self._exited(wanted.name, pid))
        _say("started", member=wanted.name, pid=pid)
        return pid

    def _become(self, wanted: Wanted, ready: int, supervisor: int) -> int:
        """In the forked child: give back what is the supervisor's, and be the part."""
        self._selector.close()
        self._listening.close()
        for client in self._clients:
            client.connection.close()
        for descriptor in (*self._pipes.values(), *self._pidfds.values(), self._wake_read, self._wake_write):
            os.close(descriptor)
        return self._become_member(wanted, self._ledger.log(wanted.name), ready, supervisor)

    def _ready(self, name: str) -> None:
        said = os.read(self._pipes[name], 64)
        self._close(self._pipes, name)
        if said.startswith(b"READY=1"):
            self._do(self._roster.ready(name, time.monotonic()))

    def _exited(self, name: str, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        self._close(self._pidfds, name)
        self._close(self._pipes, name)
        code = os.waitstatus_to_exitcode(status)
        _say("ended", member=name, pid=pid, status=code)
        self._do(self._roster.exited(name, code, time.monotonic()))

    def _close(self, table: dict[str, int], name: str) -> None:
        descriptor = table.pop(name, None)
        if descriptor is not None:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _note(self) -> None:
        """Write down which processes are ours, for whoever comes after a kill -9 of this one."""
        who = [identity(unit.pid) for unit in self._roster.units.values() if unit.pid is not None]
        known = [{"pid": one.pid, "start": one.start} for one in who if one is not None]
        with suppress(OSError):
            write(self._ledger.run / "members.json", json.dumps(known))

    # Conversation

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.add(client)
        self._watch(connection, lambda: self._receive(client))

    def _receive(self, client: _Client) -> None:
        try:
            data = client.connection.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data or len(client.unfinished) > _LONGEST_REQUEST:
            self._drop(client)
            return
        *lines, client.unfinished = (client.unfinished + data).split(b"\n")
        for line in lines:
            self._answer(client, line)

    def _answer(self, client: _Client, line: bytes) -> None:
        try:
            self._obey(client, json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            self._send(client, {"event": "refused", "message": f"{type(error).__name__}: {error}"})

    def _obey(self, client: _Client, request: dict[str, Any]) -> None:
        match request["op"]:
            case "status":
                self._send(client, {"event": "status", "pid": os.getpid(), "members": self._members()})
            case "watch":
                client.watches = True
                self._send(client, {"event": "watching", "pid": os.getpid(), "members": self._members()})
            case "apply":
                wanted = [Wanted(**{**one, "after": tuple(one["after"])}) for one in request["members"]]
                self._send(client, {"event": "applied"})
                # Whoever gave up waiting has taken back what it made: nothing of it may start now.
                if client in self._clients:
                    self._asked = True
                    self._do(self._roster.apply(wanted, time.monotonic(), float(request["grace_seconds"])))
            case "restart":
                grace = float(request["grace_seconds"])
                # Commands of before know names alone.
                fingerprints = request.get("fingerprints") or dict.fromkeys(request["names"], "")
                effects = self._roster.restart(fingerprints, time.monotonic(), grace)
                self._send(client, {"event": "applied"})
                self._do(effects)
            case "stop":
                self._send(client, {"event": "applied"})
                self._stop(float(request["grace_seconds"]))
            case other:
                self._send(client, {"event": "refused", "message": f"unknown op {other!r}"})

    def _stop(self, grace_seconds: float) -> None:
        self._asked = True
        self._do(self._roster.apply([], time.monotonic(), grace_seconds))

    def _publish(self, name: str, gone: bool) -> None:
        unit = self._roster.units.get(name)
        if unit is None and not gone:
            # It went in the same round; that is told next.
            return
        facts = {"name": name, "state": "gone"} if unit is None else _facts(name, unit)
        for client in [one for one in self._clients if one.watches]:
            self._send(client, {"event": "member", **facts})

    def _members(self) -> list[dict[str, Any]]:
        return [_facts(name, unit) for name, unit in self._roster.units.items()]

    def _send(self, client: _Client, message: dict[str, Any]) -> None:
        client.unsent += json.dumps(message).encode() + b"\n"
        self._push(client)

    def _push(self, client: _Client) -> None:
        """Write what the client takes; the rest waits until it reads on, and a client that never does is dropped."""
        try:
            sent = client.connection.send(client.unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.unsent = client.unsent[sent:]
        if len(client.unsent) > _MOST_UNREAD:
            self._drop(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        self._selector.modify(client.connection, events, lambda: self._turn(client))

    def _turn(self, client: _Client) -> None:
        if client.unsent:
            self._push(client)
        if client in self._clients:
            self._receive(client)

    def _drop(self, client: _Client) -> None:
        if client not in self._clients:
            return
        self._clients.discard(client)
        self._selector.unregister(client.connection)
        client.connection.close()
        # A command that died before it asked for anything leaves nothing to supervise.
        if not self._clients and self._roster.empty:
            self._asked = True


def _facts(name: str, unit: Unit) -> dict[str, Any]:
    now = time.monotonic()
    return {
        "name": name,
        "state": str(unit.state),
        "pid": unit.pid,
        "config": unit.runs.config,
        "fingerprint": unit.runs.fingerprint,
        "after": unit.runs.after,
        "processes": unit.runs.processes,
        "admin_socket": unit.runs.admin_socket,
        "restarts": unit.restarts,
        "since_ms": int((now - unit.since) * 1000),
        "last_exit": unit.last_exit or None,
        "retry_in_ms": int(max(0.0, unit.not_before - now) * 1000) if unit.state is State.BACKOFF else None,
    }


def _say(event: str, **facts: object) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1000) % 1000:03d}Z"
    fields = "".join(f" {name}={value}" for name, value in facts.items())
    sys.stderr.write(f"{stamp} INFO  supervisor Member {event}{fields}\n")
    sys.stderr.flush()


def _preload() -> None:
    """Import what the parts will need, once for all of them, and keep the collector from touching those pages."""
    gc.disable()
    for module in _ENGINE:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()


def main(arguments: Sequence[str]) -> None:
    """Supervise; whoever starts this has given it a session of its own."""
    home, descriptor = Path(arguments[0]), int(arguments[1])
    ledger = Ledger(home)
    os.chdir(home)
    os.umask(0o022)
    journal.redirect(ledger.log("supervisor"))
    child.entitle(f"nlctl supervisor {home}", short="nl:supervisor")
    _preload()
    Supervisor(ledger, socket.socket(fileno=descriptor)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
