"""How often a property is tried, and how often it was.

FUZZ_TIMES multiplies the number that each property asks for. At 1, the default, the examples are the same in each
run; above, they are new ones, and those that fail are kept in `.hypothesis` and tried first by the next run.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

TIMES: Final = int(os.environ.get("FUZZ_TIMES", "1"))
SEED: Final = 20_261_125
_QUICK: Final = (Phase.explicit, Phase.generate, Phase.shrink)

count = 0
"""Executions in this process so far."""


def often(examples: int, steps: int = 50) -> settings:
    """The settings of a property, or of a state machine, that is tried so many times."""
    return settings(
        max_examples=examples * TIMES,
        stateful_step_count=steps,
        derandomize=TIMES == 1,
        phases=_QUICK if TIMES == 1 else tuple(Phase),
        deadline=None,
        print_blob=TIMES > 1,
        suppress_health_check=list(HealthCheck),
    )


def fuzz(
    examples: int, *arguments: SearchStrategy[Any], **named: SearchStrategy[Any]
) -> Callable[[Callable[..., Any]], Any]:
    """Try the test function with so many examples, and count them."""

    def decorated(test: Callable[..., Any]) -> Any:
        return often(examples)(given(*arguments, **named)(_counted(test)))

    return decorated


def executed() -> None:
    """Count one more."""
    global count
    count += 1


def _counted(test: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            executed()
            return await test(*args, **kwargs)

        return waiting

    @functools.wraps(test)
    def plain(*args: Any, **kwargs: Any) -> Any:
        executed()
        return test(*args, **kwargs)

    return plain
