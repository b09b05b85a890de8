"""`nlctl config render`: files that are right by the rules of where they run."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import json5
import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from nlctl.render import yaml as ours
from nlctl.watch import catalogue
from tests.nlctl import elsewhere
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid

KUBERNETES = "1.30"
METRICS = {f"nlctl_{metric.name.replace('.', '_')}" for metric in catalogue.METRICS}
GROUPS = {
    "ConfigMap": "v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
    "Deployment": "apps/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}


def _rendered(cli: Cli, place: str, *words: str) -> Path:
    item = valid(
        cli(
            "config", "render", "--to", place, *(() if "--out" in words else ("--out", "deploy")), *words, "-o", "json"
        ).document
    )["item"]
    assert all((cli.home / name).is_file() for name in item["files"])
    return (cli.home / item["files"][0]).parent


@pytest.mark.parametrize("value", [{}, {"a": []}, "no", "on", "1", 1, None, True, [{"a": {"b": [1, "x: y"]}}, ["#"]]])
def test_yaml_is_read_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(ours.dump({"k": value, "text": "# a\n  b\n\nc\n", "other": "a\nb"})) == {
        "k": value,
        "text": "# a\n  b\n\nc\n",
        "other": "a\nb",
    }


def test_a_compose_file_can_be_scaled_and_probes_what_is_served(cli: Cli) -> None:
    folder = _rendered(cli, "compose", "--workers", "5")
    compose = yaml.safe_load((folder / "compose.yml").read_text())
    services = compose["services"]
    assert set(services) == {"cas", "scheduler", "worker"}
    assert services["worker"]["deploy"]["replicas"] == 5
    for name, service in services.items():
        assert "container_name" not in service
        assert "privileged" not in service
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[other]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source.startswith("/") or source in compose["volumes"] or (folder / source).is_file(), name
    assert all(port.startswith("${PUBLISH:-127.0.0.1}:") for one in services.values() for port in one.get("ports", ()))
    assert not any("50061" in port for one in services.values() for port in one.get("ports", ()))
    # The health checks of the compose file are judged together with the configs, as they run there.
    variables = {name: value for one in services.values() for name, value in one["environment"].items()}
    given = [word for name, value in variables.items() for word in ("--set", f"{name}={value}")]
    done = cli("config", "validate", "deploy", "--deep", "--strict", "--for", "nativelink", *given)
    assert done.out == ""


def test_units_of_systemd_name_each_other_and_their_configs(cli: Cli) -> None:
    folder = _rendered(cli, "systemd", "--workers", "2")
    for path in folder.glob("*.service"):
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(path.read_text())
        config = unit["Service"]["ExecStart"].split()[-1]
        assert (folder / Path(config).name).is_file()
        assert unit["Service"]["ExecStart"].startswith("/")
    wants = re.findall(r"^Wants=(.*)$", (folder / "nlserver.target").read_text(), re.MULTILINE)[0].split()
    assert [name for name in wants if not (folder / re.sub("@[0-9]+", "@", name)).is_file()] == []
    assert len(wants) == 4


@pytest.mark.real
def test_systemd_itself_has_no_complaint(cli: Cli) -> None:
    assert shutil.which("systemd-analyze"), "systemd-analyze is not installed: run `make test-real`"
    folder = _rendered(cli, "systemd", "--workers", "1")
    shutil.copy(folder / "nlserver-worker@.service", folder / "nlserver-worker@1.service")
    units = [folder / f"nlserver-{name}.service" for name in ("cas", "scheduler", "worker@1")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "nlserver" in line] == []


def test_kubernetes_objects_belong_together(cli: Cli) -> None:
    folder = _rendered(cli, "k8s", "--workers", "4", "--cas-size", "20gb")
    objects = list(yaml.safe_load_all((folder / "cluster.yml").read_text()))
    assert all(GROUPS[one["kind"]] == one["apiVersion"] for one in objects)
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(named) == len(objects)
    for one in objects:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", one["metadata"]["name"])
    for kind, name in [("StatefulSet", "cas"), ("Deployment", "scheduler"), ("Deployment", "worker")]:
        spec = named[kind, name]["spec"]
        pod = spec["template"]
        assert spec["selector"]["matchLabels"] == pod["metadata"]["labels"]
        if name != "worker":
            assert named["Service", name]["spec"]["selector"] == pod["metadata"]["labels"]
        (container,) = pod["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        for port in named["Service", name]["spec"]["ports"] if name != "worker" else ():
            assert ports[port["targetPort"]] == port["port"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert name == "worker" or container[probe]["httpGet"]["port"] in ports
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        config = Path(container["args"][-1]).name
        assert config in named["ConfigMap", "nlserver"]["data"]
        assert all(isinstance(variable.get("value", ""), str) for variable in container["env"])
        assert kind != "StatefulSet" or spec["serviceName"] == name
        assert named["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert named["Deployment", "worker"]["spec"]["replicas"] == 4
    scaled = named["HorizontalPodAutoscaler", "worker"]["spec"]
    assert named[scaled["scaleTargetRef"]["kind"], scaled["scaleTargetRef"]["name"]]
    assert scaled["metrics"][0]["external"]["metric"]["name"] in METRICS
    monitor = yaml.safe_load((folder / "service-monitor.yml").read_text())
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    for name in ("cas", "scheduler"):
        service = named["Service", name]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    (claim,) = named["StatefulSet", "cas"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "24Gi"
    selected = named["NetworkPolicy", "scheduler"]["spec"]["ingress"][1]["from"][0]["podSelector"]["matchLabels"]
    assert selected == named["Deployment", "worker"]["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("limits", [[], ["--cpus", "4", "--memory", "8gb"]])
def test_the_schemas_of_kubernetes_find_nothing_wrong(cli: Cli, limits: list[str]) -> None:
    folder = _rendered(cli, "k8s", *limits)
    for one in yaml.safe_load_all((folder / "cluster.yml").read_text()):
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        broken = {**one, "spec": {"replicas": "three"}, "data": 3}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_a_scheduler_serves_the_metric_that_the_autoscaler_asks_for(cli: Cli, tmp_path: Path) -> None:
    folder = _rendered(cli, "k8s")
    objects = yaml.safe_load_all((folder / "cluster.yml").read_text())
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    annotated = named["Deployment", "scheduler"]["spec"]["template"]["metadata"]["annotations"]
    config = json5.loads(named["ConfigMap", "nlserver"]["data"]["scheduler.json5"])
    said = [server["listener"]["http"].pop("socket_address") for server in config["servers"]]
    (place,) = (index for index, one in enumerate(said) if f":{annotated['prometheus.io/port']}" in one)
    for server in config["servers"]:
        server["listener"]["http"]["socket_address"] = "127.0.0.1:0"
    with elsewhere.server(tmp_path, config) as ports:
        url = f"http://127.0.0.1:{ports[place]}{annotated['prometheus.io/path']}"
        answer = httpx.get(url, trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    served = {family.name: family for family in text_string_to_metric_families(answer.text)}
    asked = named["HorizontalPodAutoscaler", "worker"]["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert [sample.value for sample in served[asked].samples] == [0]
    (rule,) = yaml.safe_load((folder / "adapter-values.yml").read_text())["rules"]["external"]
    assert rule["seriesQuery"].partition("{")[0] == asked
    assert set(re.findall(r"nlctl_\w+", rule["metricsQuery"])) <= set(served)


def test_limits_of_workers_are_those_that_were_asked(cli: Cli) -> None:
    for place, file in [("compose", "compose.yml"), ("swarm", "stack.yml")]:
        folder = _rendered(cli, place, "--out", place, "--cpus", "1.5", "--memory", "1gb")
        services = yaml.safe_load((folder / file).read_text())["services"]
        assert services["worker"]["deploy"]["resources"] == {
            "limits": {"cpus": "1.5", "memory": "1000000000"},
            "reservations": {"cpus": "0.75", "memory": "500000000"},
        }
        assert "resources" not in services["cas"].get("deploy", {})
    objects = list(yaml.safe_load_all((_rendered(cli, "k8s", "--cpus", "1.5") / "cluster.yml").read_text()))
    (pod,) = [
        one["spec"]["template"]["spec"]
        for one in objects
        if one["metadata"]["name"] == "worker" and "template" in one["spec"]
    ]
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "750m"}, "limits": {"cpu": "1500m"}}


def test_a_stack_takes_its_configs_along(cli: Cli) -> None:
    folder = _rendered(cli, "swarm", "--workers", "4")
    stack = yaml.safe_load((folder / "stack.yml").read_text())
    assert stack["services"]["worker"]["deploy"]["replicas"] == 4
    for name, service in stack["services"].items():
        (config,) = service["configs"]
        assert service["command"] == [config["target"]]
        assert (folder / stack["configs"][config["source"]]["file"]).is_file()
        assert service["networks"] == list(stack["networks"])
        assert {one.get("source", "cas") for one in service.get("volumes", ())} <= set(stack["volumes"]), name
        assert not any(port["target"] == 50061 for port in service.get("ports", ()))


def test_the_shape_is_that_of_the_cluster(cluster: Cli) -> None:
    item = cluster("config", "render", "--to", "k8s", "--dry-run", "-o", "json").document["item"]
    assert item["workers"] == 2
    assert not (cluster.home / "cluster.yml").exists()


def test_wrong_words_and_files_of_others_are_refused(cli: Cli) -> None:
    cli("config", "render", "--to", "nomad", code=2)
    cli("config", "render", "--to", "k8s", "--cas-size", "lots", code=2)
    (cli.home / "cluster.yml").write_text("mine\n")
    assert cli("config", "render", "--to", "k8s", "-o", "json", code=7).fault["code"] == "NL-CFG-205"
