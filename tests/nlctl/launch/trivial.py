"""A supervisor whose members are trivial: `python trivial.py HOME SOCKET_FD`, as the real one is started.

A member does what its config file says: `ready` serves until SIGTERM, `exit N` ends, `stubborn` ignores SIGTERM.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from nlctl.launch import child, journal
from nlctl.launch.ledger import Ledger
from nlctl.launch.roster import Wanted
from nlctl.launch.supervisor import Supervisor


def become(wanted: Wanted, log: Path, ready: int, supervisor: int) -> int:
    """Be a trivial member."""
    name, config = wanted.name, Path(wanted.config)
    child.separate(supervisor)
    journal.redirect(log)
    child.entitle(f"trivial {config}", short=name)
    word, _, number = config.read_text().strip().partition(" ")
    sys.stderr.write(f"{name} does {word}\n")
    sys.stderr.flush()
    if word == "exit":
        return int(number)
    if word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    blocked = {signal.SIGTERM} if word == "ready" else set()
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    os.write(ready, b"READY=1\n")
    os.close(ready)
    signal.sigwait(blocked) if blocked else signal.pause()
    return 143


if __name__ == "__main__":
    ledger = Ledger(Path(sys.argv[1]))
    journal.redirect(ledger.log("supervisor"))
    Supervisor(ledger, socket.socket(fileno=int(sys.argv[2])), become).run()
