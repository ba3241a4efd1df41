"""deploy/k8s: what Kubernetes' own schema says of it, and what our settings and ports say."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from shop_order.cmd.cli.root import app as cli
from tests.deploy.settings import ROOT, loads

FOLDER = ROOT / "deploy" / "k8s"
VERSIONS = ("1.30", "1.37")
Document = dict[str, Any]
DOCUMENTS: list[Document] = [
    document
    for file in sorted(FOLDER.glob("*.yaml"))
    if file.name != "kustomization.yaml"
    for document in yaml.safe_load_all(file.read_text("utf-8"))
]


def only(kind: str, name: str) -> Document:
    (found,) = (one for one in DOCUMENTS if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod(document: Document) -> Document:
    found: Document = document["spec"]["template"]["spec"]
    return found


def workloads() -> list[Document]:
    return [
        only("Deployment", "order-service"),
        only("Deployment", "order-service-relay"),
        only("Job", "order-service-migrate"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_each_document_is_valid_for_each_version(document: Document, version: str) -> None:
    # An invalid document raises ValidationError; a version without schemas would be checked by an older one.
    assert kubernetes_validate.validate(document, version, strict=True) == version


def test_a_wrong_document_would_be_found() -> None:
    wrong = {**only("Deployment", "order-service"), "spec": {"replicsa": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_file_is_applied_but_the_example() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))["resources"]
    there = {file.name for file in FOLDER.glob("*.yaml")}
    assert set(listed) == there - {"kustomization.yaml", "secret.example.yaml"}
    assert {document["metadata"].get("namespace", "shop") for document in DOCUMENTS} == {"shop"}


def environ() -> dict[str, str]:
    """What a container gets of the ConfigMap and the Secret."""
    both = {**only("ConfigMap", "order-service")["data"], **only("Secret", "order-service")["stringData"]}
    return {key: value for key, value in both.items() if key.startswith("SHOP_ORDER_")}


def test_the_settings_are_ours_and_production_takes_them() -> None:
    settings = loads(environ())
    secret = only("Secret", "order-service-files")["stringData"]
    assert settings.app.env == "production"
    files = {settings.neighbours.token_file, settings.pay.alipay.app_private_key_file}
    files |= {settings.pay.alipay.public_key_file, settings.audit.root_key_file}
    assert files == {f"/secrets/{key}" for key in secret}


def test_ports_and_probes_are_those_of_the_settings() -> None:
    settings = loads(environ())
    serve, relay = (pod(one)["containers"][0] for one in workloads()[:2])
    assert {port["name"]: port["containerPort"] for port in serve["ports"]} == {
        "http": settings.server.http_port,
        "grpc": settings.server.grpc_port,
    }
    assert relay["ports"] == [{"name": "metrics", "containerPort": settings.message.relay_port}]
    assert serve["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert serve["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    grace = pod(workloads()[0])["terminationGracePeriodSeconds"]
    assert settings.server.stop_wait_s + settings.server.stop_timeout_s < grace


@pytest.mark.parametrize("number", range(3), ids=["serve", "relay", "migrate"])
def test_nothing_runs_as_root_or_may_become_it(number: int) -> None:
    spec = pod(workloads()[number])
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    assert {source for one in container["envFrom"] for source in one} == {"configMapRef", "secretRef"}


def test_what_is_started_is_a_command_of_ours() -> None:
    group: Any = typer.main.get_command(cli)
    for document in workloads():
        (command,) = pod(document)["containers"][0]["args"]
        assert command in group.commands


def test_selectors_find_what_they_are_for() -> None:
    labels = workloads()[0]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        workloads()[0]["spec"]["selector"]["matchLabels"],
        only("Service", "order-service")["spec"]["selector"],
        only("Service", "order-service-grpc")["spec"]["selector"],
        only("PodDisruptionBudget", "order-service")["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    scaled = only("HorizontalPodAutoscaler", "order-service")["spec"]
    assert scaled["scaleTargetRef"]["name"] == workloads()[0]["metadata"]["name"]
    budget = only("PodDisruptionBudget", "order-service")["spec"]["minAvailable"]
    assert budget < scaled["minReplicas"] <= scaled["maxReplicas"]
