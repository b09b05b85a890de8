"""Certificates that configs name."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from nlctl.lint.finding import Finding, Severity
from nlctl.lint.rule import Rule, as_severe, rule
from nlctl.lint.scene import Scene

_PUBLIC_NAME: Final = "example-do-not-use-in-prod"
_PUBLIC: Final = frozenset({"cf1f87146cc1653d298fd24bd3345aa667a15029cb874a3ee16d2a06d0ce16cf"})
"""SHA-256 of the certificate of NativeLink's examples, whose private key everybody has; it ended on 2024-10-21."""
_SOON_SECONDS: Final = 21 * 86400
_KEYS: Final = ("cert_file", "key_file", "ca_file", "client_ca_file")


@rule(
    "NL-CFG-152",
    Severity.ERROR,
    "a certificate of the examples, or one that has ended",
    "clients refuse a certificate that has ended; one whose private key is public proves nothing",
    nlx="NLX008",
)
def unfit(self: Rule, scene: Scene) -> Iterator[Finding]:
    """Files of NativeLink's examples by name or fingerprint, and certificates by their end."""
    for file, spec in scene.specs():
        for key in _KEYS:
            path = getattr(spec, key, None)
            if not isinstance(path, str):
                continue
            found = scene.disk.certificates.get(path)
            name = os.path.basename(path)
            if _PUBLIC_NAME in name or (found and found.fingerprint in _PUBLIC):
                what = f"{name} is of NativeLink's examples: its private key is public, and it ended on 2024-10-21"
                yield self.at(file, spec, key, what, "a certificate of your own")
            elif found and found.ends < scene.disk.now + _SOON_SECONDS:
                ended = found.ends < scene.disk.now
                when = datetime.fromtimestamp(found.ends, UTC).date().isoformat()
                finding = self.at(file, spec, key, f"{name} {'ended' if ended else 'ends'} on {when}", "renew it")
                yield finding if ended else as_severe(finding, Severity.WARNING)
