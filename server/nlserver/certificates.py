"""The certificate of a listener, read again when its files change, so that it is renewed without a restart."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

import grpc

from nlserver import log
from nlserver.errors import Code, Error

if TYPE_CHECKING:
    from nlserver.cluster import ServerTlsSpec


class Certificates:
    """What the files of a TLS spec hold, looked at for every new connection (three `stat` calls, a few microseconds).

    Files that do not fit together, as in the middle of an exchange, leave the last good ones in use. Raises Error
    FAILED_PRECONDITION where the first ones are no good.
    """

    def __init__(self, spec: ServerTlsSpec) -> None:
        _refuse_revocation_lists(spec)
        self._spec = spec
        self._seen = self._stamps()
        self._context = _context(spec)

    def context(self) -> ssl.SSLContext:
        """For servers of Python's own TLS: each handshake gets what the files hold by then."""
        first = self._context
        first.sni_callback = self._shown
        return first

    def credentials(self) -> grpc.ServerCredentials:
        """For servers of gRPC."""
        authority = self._spec.client_ca_file is not None
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._fetched, authority)

    def _shown(self, connection: Any, name: str | None, first: ssl.SSLContext) -> None:
        # Called for every handshake, also of clients that name no host.
        self._refresh()
        connection.context = self._context

    def _fetched(self) -> Any:
        return self._configuration() if self._refresh() else None

    def _configuration(self) -> Any:
        spec = self._spec
        authority = None if spec.client_ca_file is None else _read(spec.client_ca_file)
        return grpc.ssl_server_certificate_configuration([(_read(spec.key_file), _read(spec.cert_file))], authority)

    def _refresh(self) -> bool:
        """Whether other good files were found."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self._context = _context(self._spec)
        except Error as error:
            log.warn("Changed certificate files are of no use yet", path=self._spec.cert_file, reason=str(error))
            return False
        log.info("Certificate files were read again", path=self._spec.cert_file)
        return True

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in (self._spec.cert_file, self._spec.key_file, self._spec.client_ca_file) if path]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _refuse_revocation_lists(tls: ServerTlsSpec) -> None:
    if tls.client_ca_file is not None and tls.client_crl_file is not None:
        raise Error(
            Code.UNIMPLEMENTED,
            f"client_crl_file {tls.client_crl_file!r}: revocation lists are not available yet",
            remedy="Remove client_crl_file, or end TLS in a proxy before this listener.",
        )


def _context(tls: ServerTlsSpec) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise Error(Code.FAILED_PRECONDITION, f"Could not load TLS files: {error}", where=tls.cert_file) from error
    return context
