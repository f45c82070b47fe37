"""The files of deploy/ and the Containerfile: their tools accept them, and they say the same as the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from documents import ROOT

from postscan.cli.command_table import COMMANDS
from postscan.core.settings import Settings, load

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
CONTAINERFILE = (ROOT / "Containerfile").read_text()
SETTINGS = load(DEPLOY / "settings" / "postscan.toml")
STOP_SECONDS = SETTINGS.server.drain_seconds + SETTINGS.running.grace_seconds + SETTINGS.running.term_seconds
"""The longest that a server takes to stop, but for what it writes then."""


@cache
def compose() -> Any:
    """Return the compose file."""
    return yaml.safe_load(COMPOSE.read_text())


def ours() -> dict[str, Any]:
    """Return the services of the compose file that run postscan, by name."""
    return {name: one for name, one in compose()["services"].items() if one["image"] == "postscan"}


@cache
def objects() -> list[Any]:
    """Return the objects of all manifests but the kustomization."""
    files = [path for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def pods() -> dict[str, Any]:
    """Return the specifications of the pods, by the name of their deployment."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in objects() if one["kind"] == "Deployment"
    }


# --- what their tools say -------------------------------------------------------------------------------------------


def test_a_parser_of_compose_accepts_the_file() -> None:
    """It knows each key and each form of a value, with what `<<` merges in place; `docker compose` is not asked."""
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose()))

    assert sorted(parsed.service_names()) == sorted(compose()["services"])


@pytest.mark.parametrize("one", objects(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_each_object_fits_the_schema_of_kubernetes(one: Any) -> None:
    """Strictly: a key that there is not is an error. No cluster is asked."""
    kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_the_kustomization_names_each_file() -> None:
    """What it does not name is not applied."""
    kustomization = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    files = {path.name for path in (DEPLOY / "kubernetes").iterdir()} - {"kustomization.yaml"}

    assert {*kustomization["resources"], *kustomization["configMapGenerator"][0]["files"]} == files


def test_hadolint_finds_nothing_in_the_containerfile() -> None:
    """The image itself is not built."""
    program = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([program, ROOT / "Containerfile"], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.services
def test_prometheus_accepts_its_settings() -> None:
    program = shutil.which("promtool")
    assert program is not None, "promtool is missing: apt-get install prometheus"
    found = subprocess.run(
        [program, "check", "config", "--syntax-only", DEPLOY / "prometheus.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stdout + found.stderr


# --- what they say of the code --------------------------------------------------------------------------------------


def test_all_of_them_have_the_same_settings() -> None:
    """kustomize reads no file outside of its folder, so there are two."""
    assert (DEPLOY / "kubernetes" / "postscan.toml").read_text() == (DEPLOY / "settings" / "postscan.toml").read_text()


def test_the_image_has_each_package() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", CONTAINERFILE, re.MULTILINE)
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].values()
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".containerignore").read_text(), re.MULTILINE)

    assert sorted(copied) == sorted(folders)
    assert {*copied, "requirements-server.lock", "pyproject.toml", "README.md", "LICENSE"} == set(let_in)


def test_the_image_runs_as_a_user_of_its_own_below_a_small_first_process() -> None:
    assert re.search(r"^USER 10001:10001$", CONTAINERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["/usr/bin/tini", "--", "postscan"]' in CONTAINERFILE


def test_each_command_is_one_of_postscan() -> None:
    """The first word; the entry point of the image is `postscan`."""
    used = [one["command"][0] for one in ours().values()]
    used += [container["args"][0] for pod in pods().values() for container in pod["containers"]]

    assert len(used) >= 2
    assert set(used) <= COMMANDS.keys()


@pytest.mark.parametrize("name", ours())
def test_a_container_can_write_only_where_it_must_and_has_time_to_stop(name: str) -> None:
    one = ours()[name]

    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert float(one["stop_grace_period"].rstrip("s")) > STOP_SECONDS


def test_a_server_that_stops_is_taken_out_of_the_balancer_first() -> None:
    """Workers take no requests."""
    pausing = [name for name, pod in pods().items() if "lifecycle" in pod["containers"][0]]

    assert pausing == ["postscan-server"]


@pytest.mark.parametrize("name", pods())
def test_a_pod_is_restricted_probed_and_has_time_to_stop(name: str) -> None:
    """The time runs from the beginning of preStop."""
    pod = pods()[name]
    (container,) = pod["containers"]
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1]) if "lifecycle" in container else 0.0
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS + pause
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "monitoring"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "monitoring"}
    assert ports["monitoring"] == SETTINGS.monitoring.port


def test_ports_are_those_of_the_settings() -> None:
    """In the image, at the devices, for the probes, and for Prometheus."""
    devices, probes = SETTINGS.server.port, SETTINGS.monitoring.port
    scraped = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]

    assert f"EXPOSE {devices} {Settings().console.port} {probes}" in CONTAINERFILE
    assert compose()["services"]["server"]["ports"] == [f"{devices}:{devices}"]
    assert all(f"127.0.0.1:{probes}/readyz" in one["healthcheck"]["test"][-1] for one in ours().values())
    assert [config["port"] for one in scraped for config in one["dns_sd_configs"]] == [probes]


def test_members_have_one_spool_and_their_own_data() -> None:
    """The spool is the same volume at the same place."""
    spools, own = set(), []
    for one in ours().values():
        places = dict(volume.rsplit(":", 1) for volume in one["volumes"] if volume.count(":") == 1)
        spools.add(next(name for name, place in places.items() if place == "/var/lib/postscan/spool"))
        own += [name for name, place in places.items() if place == "/var/lib/postscan"]
        own += [volume for volume in one["volumes"] if volume == "/var/lib/postscan"]
    claims = [
        {volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]}
        for pod in pods().values()
    ]

    assert spools == {"spool"}
    assert own == ["data", "/var/lib/postscan"]
    assert [(one["spool"], one["data"]) for one in claims] == [
        ("postscan-spool", "postscan-data"),
        ("postscan-spool", None),
    ]


def test_a_device_keeps_its_address() -> None:
    """Without a certificate, that is what it is: behind another one all devices would be one."""
    services = [one["spec"] for one in objects() if one["kind"] == "Service"]

    assert [one["externalTrafficPolicy"] for one in services] == ["Local"]
