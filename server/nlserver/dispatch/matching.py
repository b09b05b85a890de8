"""Does a worker fit an action? NativeLink's rules of `supported_platform_properties`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nlserver.dispatch.properties import Needs, Offer


def fits(needs: Needs, has: Offer) -> bool:
    """Whether this worker, with nothing else to do, could run an action with these needs."""
    values, pairs = has.values, has.pairs
    return (
        pairs.issuperset(needs.exact)
        and all(has.amounts.get(name, -1) >= amount for name, amount in needs.minimum)
        and all(name in values for name in needs.present)
        and all(name not in values or (name, value) in pairs for name, value in needs.unlisted)
    )


def room(needs: Needs, remaining: Mapping[str, int]) -> bool:
    """Whether enough is left of the countable properties."""
    return all(remaining.get(name, -1) >= amount for name, amount in needs.minimum)


def differences(needs: Needs, has: Offer) -> Iterator[str]:
    """For each property that keeps this worker from ever running the action: what it offers and what is asked."""
    values = has.values
    for name, value in needs.exact:
        if (name, value) not in has.pairs:
            yield _difference(name, values.get(name), value)
    for name, amount in needs.minimum:
        if has.amounts.get(name, -1) < amount:
            yield _difference(name, values.get(name), str(amount))
    for name in needs.present:
        if name not in values:
            yield f"offers no {name}"
    for name, value in needs.unlisted:
        if name in values and (name, value) not in has.pairs:
            yield _difference(name, values[name], value)


def shortages(needs: Needs, has: Offer, remaining: Mapping[str, int]) -> Iterator[str]:
    """For each countable property of which too little is left right now: how much, and what is asked."""
    for name, amount in needs.minimum:
        left = remaining.get(name, 0)
        if left < amount:
            yield f"has {name}={left} of {has.amounts.get(name, 0)} left, asked {amount}"


def _difference(name: str, offered: str | None, asked: str) -> str:
    return f"offers no {name}, asked {asked}" if offered is None else f"offers {name}={offered}, asked {asked}"
