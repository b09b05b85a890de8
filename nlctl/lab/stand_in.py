"""Processes that stand in for others in a lab: `python -m nlctl.lab.stand_in KIND ...`.

Each waits for a line on standard input before it does anything: until then whoever started it writes down that it is
there, and when that process dies first, this one ends. It says one line once it serves, and runs until it is ended.

    plain PORT        answers at this port (0: any) in HTTP/1 only    server CONFIG     is an nlserver
    expired PORT      speaks TLS with a certificate that has expired  disk FOLDER SIZE  has a small volume mounted there
    run CAS EXECUTOR KEY=VALUE... -- COMMAND    asks for an action and waits for it
    facade ADDRESS MISTAKE    is a server of another make, see `facade`: the one at ADDRESS, but for a mistake
    connections PORT COUNT  holds so many connections to this port
    crowd GROUP COUNT       has so many threads in the control group of this folder
    hoard GROUP BYTES       has so much memory in it
    stay FOLDER       works in this folder, which goes away beneath it, as does the one that holds it
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from nlctl.http2 import GREETING
from nlctl.launch.cgroups import MEMBERS
from nlctl.launch.wish import HOST

EXPIRED: Final = Path(__file__).with_name("expired.pem")
"""A certificate that nothing trusts and its key, which is no secret: it ended in 2021."""
_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_ANSWER: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def main(kind: str, words: Sequence[str]) -> int:
    """Be this kind of process until a signal ends it."""
    if not sys.stdin.readline():
        return 1
    return _KINDS[kind](words)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _plain(words: Sequence[str]) -> int:
    return _answering(int(words[0]), None)


def _expired(words: Sequence[str]) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(EXPIRED)
    context.set_alpn_protocols(["h2"])
    return _answering(int(words[0]), context)


def _answering(port: int, context: ssl.SSLContext | None) -> int:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(_ANSWER)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, HOST, port, ssl=context)
        _say(str(server.sockets[0].getsockname()[1]))
        await server.serve_forever()

    asyncio.run(serve())
    return 0


def _server(words: Sequence[str]) -> int:
    from nlserver import app

    os.environ[app.READY_FD] = str(os.dup(1))
    return app.main([Path(words[0])], app.Manner(part="stand-in"))


def _disk(words: Sequence[str]) -> int:
    """Mount it where only this process and those below it see it: it is gone with them."""
    folder, size = words
    flags = _NEW_MOUNTS if os.geteuid() == 0 else _NEW_MOUNTS | _NEW_USER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        _say(f"refused: {os.strerror(ctypes.get_errno())}")
        return 1
    private = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if private.returncode or mounted.returncode:
        _say(f"refused: {mounted.stderr.strip()}")
        return 1
    _say("mounted")
    signal.pause()
    return 0


def _run(words: Sequence[str]) -> int:
    from nlserver.reapi.client import Client

    cut = words.index("--")
    cas, executor, *pairs = words[:cut]
    platform: Mapping[str, str] = dict(pair.split("=", 1) for pair in pairs)

    async def run() -> None:
        async with Client(cas=cas, executor=executor) as client:
            _say("asked")
            await client.run(words[cut + 1 :], platform=platform)

    asyncio.run(run())
    return 0


def _facade(words: Sequence[str]) -> int:
    from nlctl.lab.facade import MISTAKES, Facade

    behind, mistake = words

    async def serve() -> None:
        facade = Facade(behind, MISTAKES[mistake])
        _say(str(await facade.start()))
        await facade.serve()

    asyncio.run(serve())
    return 0


def _stay(words: Sequence[str]) -> int:
    folder = Path(words[0])
    folder.mkdir(parents=True)
    os.chdir(folder)
    folder.rmdir()
    folder.parent.rmdir()
    _say("stays")
    signal.pause()
    return 0


def _connections(words: Sequence[str]) -> int:
    port, count = map(int, words)
    made = [socket.create_connection((HOST, port)) for _ in range(count)]
    for one in made:
        # A server does not wait long for one that says nothing.
        one.sendall(GREETING)
        one.recv(1)
    _say("connected")
    signal.pause()
    return 0


def _crowd(words: Sequence[str]) -> int:
    folder, count = words
    _join(folder)
    for _ in range(int(count)):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    _say("crowded")
    signal.pause()
    return 0


def _hoard(words: Sequence[str]) -> int:
    folder, size = words
    _join(folder)
    held = b"x" * int(size)
    _say(f"held {len(held)}")
    signal.pause()
    return 0


def _join(folder: str) -> None:
    """Be in this control group."""
    Path(folder, MEMBERS).write_text(str(os.getpid()), encoding="ascii")


_KINDS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {
    "plain": _plain,
    "expired": _expired,
    "server": _server,
    "disk": _disk,
    "run": _run,
    "facade": _facade,
    "stay": _stay,
    "connections": _connections,
    "crowd": _crowd,
    "hoard": _hoard,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
