"""nlctl speaks to nobody but the endpoints that it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nlctl.conftest import PROGRAM

# A network of its own, whose only way out is a card that swallows and counts what is sent.
OUTSIDE = """
set -e
ip link set lo up
ip link add out type veth peer name wall
for card in out wall; do echo 1 > /proc/sys/net/ipv6/conf/$card/disable_ipv6; done
ip link set wall up
ip addr add 192.0.2.2/24 dev out
ip link set out up
ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev out
ip route add default via 192.0.2.1
exec "$@"
"""
LINES = [
    ["up", "--workers", "2", "--base-port", "auto"],
    ["status"],
    ["run", "--", "true"],
    ["cas", "put", "/etc/hostname"],
    ["cas", "why", "file:/etc/hostname"],
    ["workers", "ls"],
    ["events"],
    ["bazelrc"],
    ["context", "ls"],
    ["version"],
    ["explain", "NL-CAS-101"],
    ["down", "--wipe", "--yes"],
]
SENT = Path("/sys/class/net/out/statistics/tx_packets")


@pytest.mark.real
def test_nothing_leaves_this_machine(tmp_path: Path) -> None:
    """Statement 59."""
    script = [sys.executable, "-m", "tests.nlctl.conventions.test_network", str(tmp_path)]
    words = ["unshare", "--net", "--mount", "sh", "-c", "mount -t sysfs none /sys; " + OUTSIDE, "sh", *script]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0, done.stderr
    codes, sent, control = json.loads(done.stdout)
    assert codes == [0] * len(LINES), done.stderr
    assert sent == 0
    assert control > 0, "the card counts what goes out"


def main(home: str) -> None:
    """Inside: run the lines, tell their exit codes, what was sent meanwhile, and what one datagram adds."""
    import socket

    environment = {"PATH": os.environ["PATH"], "HOME": home}
    began = int(SENT.read_text())
    codes = [
        subprocess.run([PROGRAM, *words], env=environment, stdout=sys.stderr, cwd=home, check=False).returncode
        for words in LINES
    ]
    sent = int(SENT.read_text()) - began
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"hello", ("198.51.100.1", 9))
    json.dump([codes, sent, int(SENT.read_text()) - began - sent], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
