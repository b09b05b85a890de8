"""Runs `nlctl` as forks of one process that has imported what most commands import: a fifth of the processor time.

What a fork does from its first line on is what the program does; how the program itself starts is tried by the tests
that start it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

IMPORTED = (
    "nlctl.admin",
    "nlctl.description",
    "nlctl.main",
    "nlctl.remote",
    "nlctl.resolve",
    "nlserver.proto.admin_pb2_grpc",
    "nlserver.proto.remote_execution_pb2",
    "typer",
)
_LONGEST_ORDER = 128 << 10
_DESCRIPTORS = 4


def run(
    program: Path, words: Sequence[str], environment: Mapping[str, str], folder: Path, given: bytes, seconds: float
) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error of this program with these words."""
    answers, answering = socket.socketpair()
    (stdin, give), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
    order = json.dumps([[str(program), *words], dict(environment), str(folder)]).encode()
    # The interpreter reads these when it starts.
    early = tuple(sorted((name, value) for name, value in environment.items() if name.startswith(("LC_", "PYTHON"))))
    socket.send_fds(_parent(program, early), [order], [answering.fileno(), stdin, stdout, stderr])
    answering.close()
    for fd in (stdin, stdout, stderr):
        os.close(fd)
    found: dict[int, bytes] = {}
    threads = [threading.Thread(target=_read, args=(fd, found)) for fd in (out, err)]
    threads.append(threading.Thread(target=_write, args=(give, given)))
    for thread in threads:
        thread.start()
    answers.settimeout(seconds)
    with answers, answers.makefile() as lines:
        pid = int(lines.readline())
        try:
            status = int(lines.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(words), seconds) from None
        finally:
            for thread in threads:
                thread.join()
    return os.waitstatus_to_exitcode(status), found[out], found[err]


def _read(fd: int, found: dict[int, bytes]) -> None:
    with open(fd, "rb") as pipe:
        found[fd] = pipe.read()


def _write(fd: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(fd, "wb") as pipe:
        pipe.write(data)


@cache
def _parent(program: Path, environment: tuple[tuple[str, str], ...]) -> socket.socket:
    """The way to the process of which all others are forks. It ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [program.with_name("python"), "-m", "tests.nlctl.forks", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], **dict(environment)},
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    return ours


def main() -> None:
    """Fork for every order, and tell how the forks end."""
    from nlserver import grpc_environment

    grpc_environment.prepare(os.environ)
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    # Python alone reads what a handler has written: the number of the signal.
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakes)
    answers: dict[int, socket.socket] = {}
    with socket.socket(fileno=int(sys.argv[1])) as orders, selectors.SelectSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is orders:
                    order, fds, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, _DESCRIPTORS)
                    if not order:
                        return
                    pid = os.fork()
                    if pid == 0:
                        for one in answers.values():
                            one.close()
                        break
                    answers[pid] = socket.socket(fileno=fds[0])
                    for fd in fds[1:]:
                        os.close(fd)
                    with suppress(OSError):
                        answers[pid].sendall(b"%d\n" % pid)
                else:
                    os.read(woken, 4096)
                    _tell(answers)
            else:
                continue
            break
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for fd in (woken, wakes, fds[0]):
        os.close(fd)
    for number, fd in enumerate(fds[1:]):
        os.dup2(fd, number)
        os.close(fd)
    # As the interpreter makes them of these descriptors.
    sys.stdin = open(0, encoding=sys.stdin.encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding=sys.stderr.encoding, errors=sys.stderr.errors, closefd=False)  # noqa: SIM115
    sys.argv, environment, folder = json.loads(order)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    from nlctl.__main__ import main as program

    sys.exit(program())


def _tell(answers: dict[int, socket.socket]) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with answers.pop(ended[0]) as answer, suppress(OSError):
                answer.sendall(b"%d\n" % ended[1])


if __name__ == "__main__":
    main()
