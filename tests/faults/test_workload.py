"""The jobs follow from the seed, and what they expect is right on this machine too."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from tests.faults.plan import turns
from tests.faults.workload import Input, Run, Upload, jobs

SOME = list(itertools.islice(jobs(7), 400))


def _written(folder: Path, one: Input) -> None:
    path = folder / one.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(one.content)
    path.chmod(0o755 if one.program else 0o644)


def test_one_seed_makes_one_stream_of_jobs() -> None:
    assert list(itertools.islice(jobs(7), 400)) == SOME
    assert list(itertools.islice(jobs(8), 400)) != SOME


def test_blobs_are_the_same_each_time_and_differ_from_each_other() -> None:
    blobs = [blob for job in SOME if isinstance(job, Upload) for blob in job.blobs if blob.size > 1][:50]
    assert all(len(blob.data()) == blob.size for blob in blobs)
    assert len({blob.data() for blob in blobs}) == len(blobs)
    assert blobs[0].data() == blobs[0].data()


@pytest.mark.parametrize("kind", ["copies", "lists", "program", "fails"])
def test_an_action_does_here_what_it_must_do_there(tmp_path: Path, kind: str) -> None:
    for number, job in enumerate(job for job in SOME if isinstance(job, Run) and job.kind == kind):
        if number == 3:
            break
        folder = tmp_path / str(number)
        folder.mkdir()
        for one in job.inputs:
            _written(folder, one)
        ran = subprocess.run(["/bin/sh", "-c", job.script], cwd=folder, env={}, capture_output=True, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (job.exit_code, job.stdout, job.stderr)
        assert {path: (folder / path).read_bytes() for path in job.wanted} == job.wanted


def test_every_fault_has_its_turn_before_any_has_another() -> None:
    names = ["a", "b", "c", "d"]
    some = list(itertools.islice(turns(names, 3), 40))
    assert some == list(itertools.islice(turns(names, 3), 40))
    assert some != list(itertools.islice(turns(names, 4), 40))
    for begin in range(0, 40, 4):
        assert sorted(turn.fault for turn in some[begin : begin + 4]) == names
