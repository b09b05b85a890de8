"""The shipped templates are complete configs: as they stand, and as `up` renders them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from nlserver.cluster import judge, loads

from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.launch.containers import Containers
from nlctl.launch.offers import config_text, offers
from nlctl.launch.templates import template
from nlctl.launch.wish import Ports, Wish, members
from tests.nlctl.conftest import Cli

WISH = Wish("dev", ("worker-1", "worker-2"), "10gb", Ports(1001, 1002, 1003), Path("/tmp/x"))
NAMES = ["cas.json5", "scheduler.json5", "worker.json5"]


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_as_it_stands(name: str) -> None:
    assert judge(loads(template(name), name, {})) == []


def test_a_templates_variables_come_from_the_environment() -> None:
    config = loads(
        template("worker.json5"), "worker.json5", {"WORKER_NAME": "worker-7", "CAS_ENDPOINT": "cas:1", "DATA": "/d"}
    )
    [worker] = config.workers or ()
    assert worker.name == "worker-7"  # type: ignore[attr-defined]


def test_rendered_members_are_configs_without_a_finding() -> None:
    for member in members(WISH):
        config = loads(config_text(member, template(member.template)), member.template, {})
        assert judge(config) == []


def test_members_that_run_another_server_have_directories_of_their_own_and_are_right_for_nativelink(cli: Cli) -> None:
    wish = replace(WISH, inside=Containers("nativelink", foreign=True).inside)
    for member in members(wish):
        (cli.home / f"{member.name}.json5").write_text(config_text(member, template(member.template)))
    names = [f"{member.name}.json5" for member in members(wish)]
    done = cli("config", "validate", *names, "--deep", "--strict", "--for", "nativelink")
    assert done.out == ""


def test_a_users_own_template_goes_before_those_of_every_folder(tmp_path: Path) -> None:
    (tmp_path / "cas.json5").write_text("// mine")
    assert template("multi-worker/cas.json5", tmp_path) == template("cas.json5", tmp_path) == "// mine"
    assert template("multi-worker/worker.json5", tmp_path) == template("multi-worker/worker.json5")


def test_properties_of_single_workers_stand_in_their_configs_and_in_the_schedulers() -> None:
    more = {"ISA": ["arm64"], "gpu": ["a100", "h100"], "odd.name-1": ["x y"]}
    wish = replace(WISH, offers={"worker-2": more}, knows=tuple(more))
    configs = {one.name: loads(config_text(one, template(one.template)), one.template, {}) for one in members(wish)}
    assert all(judge(config) == [] for config in configs.values())
    offered = [dict((configs[name].workers or ())[0].platform_properties) for name in ("worker-1", "worker-2")]  # type: ignore[attr-defined]
    assert "gpu" not in offered[0]
    assert {name: list(offered[1][name].values) for name in more} == more
    assert offered[0].keys() <= offered[1].keys()
    text = config_text(members(wish)[1], template("scheduler.json5"))
    assert text.count('"gpu": "exact"') == 1
    assert text.count("ISA") == 1


@pytest.mark.parametrize("word", ["gpu", "=1", "a b=1", 'gpu="1"', "gpu=$HOME", "nlctl-worker=x", "gpu=a\nb"])
def test_words_that_are_no_properties_are_refused(word: str) -> None:
    with pytest.raises(Fault) as caught:
        offers([word])
    assert caught.value.exit is Exit.USAGE
