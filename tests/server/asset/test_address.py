"""Which addresses may be connected to for clients."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.asset.address import may_connect, may_name, networks_of

INNER = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.2.1 192.168.0.1
198.18.0.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 ::ffff:10.0.0.1 ::ffff:127.0.0.1
64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe:: 2001:db8::1 fc00::1 fd00:ec2::254
fe80::1 fe80::1%eth0 fec0::1 ff02::1
"""
OUTER = "8.8.8.8 1.1.1.1 172.32.0.1 192.169.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1"


@pytest.mark.parametrize("text", INNER.split())
def test_addresses_of_inner_networks_are_refused_also_when_wrapped_into_others(text: str) -> None:
    assert not may_connect(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", OUTER.split())
def test_addresses_of_the_public_internet_are_allowed(text: str) -> None:
    assert may_connect(ipaddress.ip_address(text), ())


def test_an_allowed_network_lets_its_own_addresses_through_in_any_form_and_no_others() -> None:
    allowed = networks_of(["10.1.0.0/16", "::1", "127.0.0.2"])
    for inside in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "::1", "127.0.0.2"):
        assert may_connect(ipaddress.ip_address(inside), allowed)
    for outside in ("10.2.0.1", "127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"):
        assert not may_connect(ipaddress.ip_address(outside), allowed)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_ipv6_carries_it(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    carriers = [(0xFFFF << 32) | number, (0x64_FF9B << 96) | number, (0x2002 << 112) | (number << 80)]
    expected = may_connect(address, ())
    assert [may_connect(ipaddress.IPv6Address(carrier), ()) for carrier in carriers] == [expected] * 3


def test_hosts_are_allowed_by_name_or_by_what_they_end_with() -> None:
    allowed = ["github.com", "*.Example.org"]
    assert [name for name in ("github.com", "a.example.org", "a.b.example.org") if not may_name(name, allowed)] == []
    for other in ("xgithub.com", "example.org", "github.com.evil.net", "badexample.org", "a.github.com"):
        assert not may_name(other, allowed)
    assert may_name("anything", None)
    assert not may_name("anything", [])
