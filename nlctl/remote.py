"""The REAPI client of this invocation, opened on what the session chose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nlserver.reapi.channel import Channel, Headers, dial
from nlserver.reapi.client import RETRY, Client
from nlserver.reapi.digest import Function
from nlserver.reapi.endpoint import EndpointSpec, TlsSpec

from nlctl.contexts import Access, Address
from nlctl.session import Target


@asynccontextmanager
async def client(target: Target, function: Function = Function.SHA256) -> AsyncIterator[Client]:
    """A client for this target, closed on leaving."""
    async with Client(
        cas=endpoint(target.cas, target.access),
        executor=endpoint(target.executor, target.access),
        instance_name=target.instance,
        function=function,
        headers=headers(target.access),
    ) as made:
        yield made


@asynccontextmanager
async def channel(target: Target) -> AsyncIterator[Channel]:
    """Calls to its CAS as they are, of which a client would answer some by itself; closed on leaving."""
    made = dial(endpoint(target.cas, target.access), retry=RETRY, headers=headers(target.access))
    try:
        yield made
    finally:
        await made.close()


def headers(access: Access) -> Headers:
    """What goes with every call. Raises Fault BAD_CONTEXT for a token that cannot be read."""
    token = access.token()
    return (("authorization", f"Bearer {token}"),) if token else ()


def endpoint(url: str, access: Access) -> EndpointSpec | str:
    """How a client is told of a server.

    The address alone says that TLS trusts what this system trusts; files say it better.
    """
    if not Address(url, access).secure or not access.has_tls_files:
        return url
    files = TlsSpec(ca_file=access.ca_file, cert_file=access.cert_file, key_file=access.key_file)
    return EndpointSpec(address=url, tls_config=files)
