"""A host for each part: a network namespace with one cable to this run's, where cables can be cut and slowed down."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Final

_CUTS: Final = """\
table ip faults {
  set cut { type ipv4_addr . ipv4_addr; }
  chain through { type filter hook prerouting priority -300; ip saddr . ip daddr @cut drop; }
  chain out { type filter hook output priority -300; ip saddr . ip daddr @cut drop; }
}
"""


@dataclass(frozen=True)
class Host:
    """Where a part lives. `here` is this run's end of its cable, `address` the part's."""

    name: str
    number: int

    @property
    def here(self) -> str:
        """The address from which clients reach it."""
        return f"10.77.{self.number}.1"

    @property
    def address(self) -> str:
        """Its own."""
        return f"10.77.{self.number}.2"

    @property
    def cable(self) -> str:
        """The device at this run's end."""
        return f"to{self.number}"

    def inside(self, *words: str) -> list[str]:
        """A command as it is run there."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *words]


class Network:
    """Hosts that reach each other through this run, which must have a network and mounts of its own."""

    def __init__(self) -> None:
        _run("mount", "-t", "tmpfs", "-o", "size=1m", "faults", "/run")
        _run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        _run("nft", "-f", "-", given=_CUTS)
        self._hosts = 0

    def host(self, name: str) -> Host:
        """Add one."""
        self._hosts += 1
        host = Host(name, self._hosts)
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "address", "add", f"{host.here}/30", "dev", host.cable)
        _run("ip", "link", "set", host.cable, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{host.address}/30", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", host.here),
        ):
            _run("ip", "-n", name, *words)
        return host

    def cut(self, source: str, target: str) -> None:
        """Let nothing pass from one address to another; silently, as a broken cable does."""
        _run("nft", "add", "element", "ip", "faults", "cut", f"{{ {source} . {target} }}")

    def slow(self, host: Host, kilobits: int) -> None:
        """Let so little pass to a host."""
        rate = ("rate", f"{kilobits}kbit", "burst", "16k", "latency", "200ms")
        _run("tc", "qdisc", "add", "dev", host.cable, "root", "tbf", *rate)

    def heal(self) -> None:
        """Undo every cut."""
        _run("nft", "flush", "set", "ip", "faults", "cut")

    def hasten(self, host: Host) -> None:
        """Undo a slow cable."""
        _run("tc", "qdisc", "del", "dev", host.cable, "root")


def _run(*words: str, given: str = "") -> None:
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stderr}"
