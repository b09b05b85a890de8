"""Any text is a Config that can be judged, or a ConfigError that can be shown."""

from __future__ import annotations

import re

from nlserver.cluster import ConfigError, judge, loads, render

from tests.fuzz import configs
from tests.fuzz.executions import fuzz
from tests.fuzz.outcomes import LONGEST


@fuzz(200, configs.texts, configs.environments)
def test_any_text_is_a_config_or_problems_with_their_place(text: str, environment: dict[str, str]) -> None:
    try:
        said, problems = "", judge(loads(text, "some.json5", environment))
    except ConfigError as error:
        said, problems = str(error), error.problems
    assert not said or any(problem.fatal for problem in problems)
    assert len(said) < LONGEST
    # JSON5 has four characters that end a line.
    lines = len(re.split("[\n\r\u2028\u2029]", text))
    for problem in problems:
        assert problem.place.line <= lines
        assert problem.reason
    shown = render(problems)
    assert not set(shown) & set("\x1b\0\r\u202e\u2028")
