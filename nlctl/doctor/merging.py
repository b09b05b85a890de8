"""One cause told once: what a live check proves takes the place of what a config made likely. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nlctl.doctor.finding import Evidence, Finding, Verdict, ok

if TYPE_CHECKING:
    from nlctl.doctor.examination import Outcome

_CONFIGS: Final = "NLD-CFG-01"
PROOFS: Final[Mapping[str, tuple[str, ...]]] = {
    "NL-CFG-120": ("NLD-NET-02", "NLD-SHR-01", "NLD-WRK-01", "NLD-DKR-04"),
    "NL-CFG-122": ("NLD-NET-02", "NLD-SHR-01", "NLD-WRK-01", "NLD-CAS-02", "NLD-DKR-04"),
    "NL-CFG-123": ("NLD-WRK-01",),
    "NL-CFG-125": ("NLD-CAS-02",),
    "NL-CFG-128": ("NLD-STO-01",),
    "NL-CFG-130": ("NLD-WRK-02",),
    "NL-CFG-132": ("NLD-AC-02",),
    "NL-CFG-138": ("NLD-API-03",),
    "NL-CFG-140": ("NLD-WRK-01",),
    "NL-CFG-144": ("NLD-SHR-01", "NLD-NET-02", "NLD-DKR-03", "NLD-DKR-04"),
    "NL-CFG-151": ("NLD-QUE-01",),
    "NL-CFG-152": ("NLD-TLS-01",),
}
"""The checks that see for themselves what a rule of the linter concludes from files."""
_NAME_NO_PART: Final = frozenset({"NLD-API-03", "NLD-AC-02", "NLD-CAS-02", "NLD-QUE-01", "NLD-TLS-01"})
"""Checks that see what clients meet, whichever part it comes of."""
_OF_TWO_PARTS: Final = frozenset({"NL-CFG-144"})
"""Rules that find two parts at odds and name one: the other may be the one that is wrong."""


def merged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same, in which findings about configs are the evidence of those that prove them by looking."""
    by_id = {one.check.id: one for one in outcomes}
    configs = by_id.get(_CONFIGS)
    if configs is None:
        return list(outcomes)
    kept = []
    for found in configs.findings:
        proof = _proof(found, by_id)
        if proof is None:
            kept.append(found)
            continue
        id_, proved = proof
        rest = [one for one in by_id[id_].findings if one is not proved]
        proved = replace(proved, evidence=(*proved.evidence, *found.evidence), fixes=(*proved.fixes, *found.fixes))
        by_id[id_] = replace(by_id[id_], findings=(proved, *rest))
    if len(kept) < len(configs.findings):
        said = ok("nothing else is wrong with the configs than what was seen to fail")
        by_id[_CONFIGS] = replace(configs, findings=tuple(kept) or (said,))
    return [by_id[one.check.id] for one in outcomes]


def _proof(found: Finding, by_id: Mapping[str, Outcome]) -> tuple[str, Finding] | None:
    """The check and its finding that prove this one, about the part whose config it is."""
    for said, part in _rules(found.evidence):
        for id_ in PROOFS.get(said, ()):
            for one in by_id[id_].findings if id_ in by_id else ():
                about = said in _OF_TWO_PARTS or id_ in _NAME_NO_PART or _is_about(one, part)
                if one.verdict in (Verdict.FAILED, Verdict.WARNING) and about:
                    return id_, one
    return None


def _rules(evidence: Sequence[Evidence]) -> Iterator[tuple[str, str]]:
    """The rule and the part of what the linter says: `NL-CFG-144`, from `worker-2.json5:12`."""
    for one in evidence:
        file = one.source.rpartition(":")[0].rpartition("/")[2]
        if one.name.startswith("NL-") and file.endswith(".json5"):
            yield one.name, file.removesuffix(".json5")


def _is_about(found: Finding, part: str) -> bool:
    words = found.what.replace(",", " ").replace(":", " ").split()
    return part in words or any(one.name.partition(":")[0] == part for one in found.evidence)
