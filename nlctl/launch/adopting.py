"""A cluster that Compose started, taken up: found by its project, reached at its open ports, its configs copied."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from nlctl.containers import labels
from nlctl.containers.connection import connect
from nlctl.containers.housing import Housed
from nlctl.containers.looking import housed
from nlctl.faults import NOT_RUNNING, UNSUPPORTED, Fault, fix
from nlctl.launch.containers import Containers
from nlctl.launch.ledger import Ledger, Record, write
from nlctl.launch.wish import Ports, workers_of


def adopt(ledger: Ledger, project: str, *, dry_run: bool) -> Record:
    """Take it up in this folder. Raises Fault NOT_RUNNING, UNSUPPORTED, NO_ENGINE."""
    found = housed(connect(), {"label": [f"{labels.COMPOSE_PROJECT}={project}"]})
    if not found:
        raise Fault(
            NOT_RUNNING,
            f"no container of the Compose project {project!r} runs a config",
            why="containers are found by the label com.docker.compose.project",
            fixes=[fix("start it: docker compose up --detach"), fix("see the projects: docker compose ls --all")],
        )
    parts = sorted((one.part for one in found), key=labels.order)
    foreign = not any(one.ours for one in found)
    containers = Containers(found[0].state.image_name, project=project, foreign=foreign)
    made = Record(ledger.name, tuple(workers_of(parts)), "0", ports_of(found), time.time(), containers=containers)
    if not dry_run:
        ledger.prepare()
        for one in found:
            write(ledger.config(one.part), one.text)
        ledger.save(made)
    return made


def ports_of(found: Sequence[Housed]) -> Ports:
    """Where its CAS, its scheduler and its worker API are reached from this machine. Raises Fault UNSUPPORTED."""
    opened = {one.part: one.opened for one in found}
    scheduler = next((one for one in found if one.worker_ports), None)
    cas = next(iter(opened.get("cas", ())), None)
    rows = scheduler.opened if scheduler else ()
    clients = next((port for port in rows if scheduler and port.inner not in scheduler.worker_ports), None)
    if scheduler is None or cas is None or clients is None:
        raise Fault(
            UNSUPPORTED,
            "the CAS and the scheduler of this project are not reached from this machine",
            why="the services cas and scheduler must publish the ports of clients",
            fixes=[fix('publish them: ports: ["127.0.0.1:50051:50051"] and ["127.0.0.1:50052:50052"]')],
        )
    made = Ports(cas.outer, clients.outer, scheduler.worker_ports[0])
    published = next((port.outer for port in rows if port.inner in scheduler.worker_ports), None)
    if published is not None:
        return replace(made, worker_api=published)
    # It is rightly not published; this machine has a way to the container itself.
    return replace(made, worker_host=scheduler.address)
