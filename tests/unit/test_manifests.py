"""Kubernetes manifests: true to the published schemas, and everything that a manifest can break."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tasks.settings import PREFIX, Settings
from tests.support.manifests import (
    OPTIONS,
    OVERLAYS,
    ROOT,
    Manifest,
    build_overlay,
    build_with,
    get_one,
    list_containers,
    list_pods,
)
from tests.support.web import SECRET_KEY, build_web

# The one that this was tried on, the one before, the one after.
VERSIONS = ("1.35", "1.36", "1.37")
# Of operators that a cluster may have; their schemas are not Kubernetes' own.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}
OUR_IMAGE = re.compile(r"^(ghcr\.io/owner/)?stock-backtest:")
# A release, a commit, or a digest; never a name that moves.
IMMUTABLE = re.compile(r"(:v?\d+\.\d+\.\d+([-+.][\w.-]+)?|:[0-9a-f]{40}|@sha256:[0-9a-f]{64})$")
# What an overlay has until its operator sets an image: no registry has such a tag.
UNSET = ":set-a-release"


@pytest.fixture(scope="module", params=[*OVERLAYS, "with every option"])
def objects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    if request.param in OVERLAYS:
        return build_overlay(request.param)
    return build_with(tmp_path_factory.mktemp("options"), *OPTIONS)


@cache
def validate_once(text: str) -> None:
    """Validate an object that several overlays have in common."""
    for version in VERSIONS:
        kubernetes_validate.validate(json.loads(text), version, strict=True)


@pytest.fixture
def production() -> list[Manifest]:
    return build_overlay("production")


def test_every_object_is_true_to_the_published_schemas(objects: list[Manifest]) -> None:
    for item in objects:
        if item["kind"] not in FOREIGN:
            validate_once(json.dumps(item))


def test_the_check_against_the_schemas_finds_a_misspelt_field(production: list[Manifest]) -> None:
    web = get_one(production, "Deployment", "stock-backtest-web")
    web["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, VERSIONS[0], strict=True)


def test_no_object_is_there_twice_and_all_are_in_our_namespace(objects: list[Manifest]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))
    for item in objects:
        if item["kind"] != "Namespace":
            assert item["metadata"]["namespace"] == "stock-backtest"


def test_the_namespace_enforces_the_restricted_standard(production: list[Manifest]) -> None:
    labels = get_one(production, "Namespace", "stock-backtest")["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_pods_comply_with_the_restricted_standard(objects: list[Manifest]) -> None:
    for name, pod in list_pods(objects):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        # By number: the kubelet cannot tell whether a name is root.
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            assert not pod.get(field), name
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= {"emptyDir", "configMap", "persistentVolumeClaim"}
    for name, container in list_containers(objects):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert not security.get("privileged"), name
        assert "runAsUser" not in security, name
        assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_the_page_writes_nothing(production: list[Manifest]) -> None:
    web = get_one(production, "Deployment", "stock-backtest-web")["spec"]["template"]["spec"]
    assert "volumes" not in web
    assert all("volumeMounts" not in container for container in web["containers"])


def test_what_is_written_lies_in_memory_or_in_a_bounded_folder(objects: list[Manifest]) -> None:
    for name, pod in list_pods(objects):
        if name.startswith("StatefulSet/"):
            continue
        mounts = {m["mountPath"] for c in pod["containers"] for m in c.get("volumeMounts", [])}
        assert mounts <= {"/tmp"}, name
        for volume in pod.get("volumes", []):
            assert volume["emptyDir"]["sizeLimit"], name


def test_every_container_says_what_it_needs_and_what_it_may_take(objects: list[Manifest]) -> None:
    for name, container in list_containers(objects):
        for part in ("requests", "limits"):
            assert set(container["resources"][part]) == {"cpu", "memory"}, name


def test_images_are_named_by_tags_that_never_move(objects: list[Manifest]) -> None:
    for name, container in list_containers(objects):
        image = container["image"]
        assert IMMUTABLE.search(image) or image.endswith(UNSET), name
        if OUR_IMAGE.match(image):
            assert container.get("imagePullPolicy", "IfNotPresent") == "IfNotPresent", name


@pytest.mark.parametrize("tag", [":latest", "", ":1", ":main", ":stable", ":1.2"])
def test_a_tag_that_moves_is_found(tag: str) -> None:
    assert not IMMUTABLE.search(f"ghcr.io/owner/stock-backtest{tag}")


def test_jobs_run_the_image_of_the_page_that_makes_them() -> None:
    for overlay in ("dev", "production"):
        objects = build_overlay(overlay)
        images = {c["image"] for _, c in list_containers(objects) if OUR_IMAGE.match(c["image"])}
        config = get_one(objects, "ConfigMap", "stock-backtest-config")
        assert images == {config["data"][f"{PREFIX}KUBERNETES_IMAGE"]}
        schema = build_overlay(f"{overlay}/schema")
        assert {c["image"] for _, c in list_containers(schema)} == images


def test_only_the_page_may_do_anything_and_that_is_four_verbs_on_jobs(
    objects: list[Manifest],
) -> None:
    assert [item for item in objects if item["kind"].startswith("Cluster")] == []
    roles = [item for item in objects if item["kind"] == "Role"]
    bindings = [item for item in objects if item["kind"] == "RoleBinding"]
    if not any(item["kind"] == "Deployment" for item in objects):
        assert roles == bindings == []
        return
    (role,), (binding,) = roles, bindings
    assert role["rules"] == [
        {
            "apiGroups": ["batch"],
            "resources": ["jobs"],
            "verbs": ["create", "get", "list", "delete"],
        }
    ]
    assert binding["roleRef"]["kind"] == "Role"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "stock-backtest-web", "namespace": "stock-backtest"}
    ]


def test_only_the_page_gets_a_token(objects: list[Manifest]) -> None:
    for item in objects:
        if item["kind"] == "ServiceAccount":
            assert item["automountServiceAccountToken"] is False
    for name, pod in list_pods(objects):
        is_web = name == "Deployment/stock-backtest-web"
        assert pod["automountServiceAccountToken"] is is_web, name
        account = pod["serviceAccountName"]
        assert (account == "stock-backtest-web") is is_web, name


def test_what_a_pod_needs_to_start_is_applied_with_it(objects: list[Manifest]) -> None:
    """Without its account no pod is ever made; without its map it never starts."""
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for name, pod in list_pods(objects):
        assert ("ServiceAccount", pod["serviceAccountName"]) in there, name
    for name, container in list_containers(objects):
        for source in container.get("envFrom", []):
            assert ("ConfigMap", source["configMapRef"]["name"]) in there, name


def test_services_put_nothing_into_the_environment_that_looks_like_a_setting(
    objects: list[Manifest],
) -> None:
    for name, pod in list_pods(objects):
        assert pod["enableServiceLinks"] is False, name
    for item in objects:
        if item["kind"] == "Service":
            variable = item["metadata"]["name"].upper().replace("-", "_") + "_"
            assert not variable.startswith(PREFIX)


def test_pods_take_their_settings_from_the_map_and_their_secrets_by_reference(
    objects: list[Manifest],
) -> None:
    secret = yaml.safe_load((ROOT / "k8s/secret-template.yaml").read_text())
    for name, container in list_containers(objects):
        for variable in container.get("env", []):
            if "value" in variable:
                assert "PASSWORD" not in variable["name"] or variable["value"] == "1", name
                continue
            source = variable["valueFrom"]
            if "fieldRef" in source:
                continue
            assert source["secretKeyRef"]["name"] == secret["metadata"]["name"], name
            assert source["secretKeyRef"]["key"] in secret["stringData"], name
        for source in container.get("envFrom", []):
            assert source == {"configMapRef": {"name": "stock-backtest-config"}}, name


def test_every_setting_in_a_manifest_is_one_that_processes_know(objects: list[Manifest]) -> None:
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    named = {v["name"] for _, c in list_containers(objects) for v in c.get("env", [])}
    for item in objects:
        if item["kind"] == "ConfigMap":
            named |= set(item["data"])
    assert {name for name in named if name.startswith(PREFIX)} - known == set()


def test_only_a_template_of_the_secret_is_there_and_every_value_is_a_placeholder(
    objects: list[Manifest],
) -> None:
    assert [item for item in objects if item["kind"] == "Secret"] == []
    templates = [
        path for path in (ROOT / "k8s").rglob("*.yaml") if "kind: Secret\n" in path.read_text()
    ]
    assert templates == [ROOT / "k8s/secret-template.yaml"]
    template = yaml.safe_load(templates[0].read_text())
    assert set(template["stringData"].values()) == {"replace-me"}
    assert {"database-url", "broker-url", "secret-key"} <= set(template["stringData"])


def test_probes_name_a_host_that_the_page_answers_to(production: list[Manifest]) -> None:
    probes = [
        (name, kind, container[kind])
        for name, container in list_containers(production)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        if kind in container
    ]
    for name, _, probe in probes:
        if "httpGet" in probe:
            assert {"name": "Host", "value": "localhost"} in probe["httpGet"]["httpHeaders"], name
    paths = {kind: p["httpGet"]["path"] for name, kind, p in probes if name.endswith("/web")}
    assert paths["livenessProbe"] == "/health/live"
    assert paths["readinessProbe"] == "/health/ready"


def test_pods_have_the_time_that_their_processes_take_to_stop(production: list[Manifest]) -> None:
    config = get_one(production, "ConfigMap", "stock-backtest-config")["data"]
    soft = float(config[f"{PREFIX}SHUTDOWN_SECONDS"])
    worker = get_one(production, "Deployment", "stock-backtest-worker")["spec"]["template"]["spec"]
    # Half a minute less for handing back than for computing would be found by the lease only.
    assert worker["terminationGracePeriodSeconds"] >= soft + 15
    web = get_one(production, "Deployment", "stock-backtest-web")["spec"]["template"]["spec"]
    (container,) = web["containers"]
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert web["terminationGracePeriodSeconds"] >= waits + 15


def test_a_worker_has_as_many_processes_as_cores_and_sweeps_are_cut_for_all(
    production: list[Manifest],
) -> None:
    worker = get_one(production, "Deployment", "stock-backtest-worker")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    processes = int(container["args"][container["args"].index("--concurrency") + 1])
    assert str(processes) == container["resources"]["limits"]["cpu"]
    most = get_one(production, "HorizontalPodAutoscaler", "stock-backtest-worker")["spec"]
    config = get_one(production, "ConfigMap", "stock-backtest-config")["data"]
    assert config[f"{PREFIX}WORKER_PROCESSES"] == str(most["maxReplicas"] * processes)


def test_selectors_find_the_pods_that_they_are_for(objects: list[Manifest]) -> None:
    labels = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in objects
        if item["kind"] in ("Deployment", "StatefulSet")
    ]
    for item in objects:
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }.get(item["kind"])
        if selector is not None:
            wanted = selector(item["spec"]).items()
            assert sum(wanted <= found.items() for found in labels) == 1, item["metadata"]["name"]


def test_the_schemas_job_ends_and_is_not_started_again_by_its_pod() -> None:
    for overlay in ("dev", "production"):
        (job,) = [item for item in build_overlay(f"{overlay}/schema") if item["kind"] == "Job"]
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert job["spec"]["ttlSecondsAfterFinished"] == 86400
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["db", "upgrade"]


def test_what_runs_for_ever_is_started_again(objects: list[Manifest]) -> None:
    for item in objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            pod = item["spec"]["template"]["spec"]
            assert pod.get("restartPolicy", "Always") == "Always", item["metadata"]["name"]


def test_autoscaled_deployments_leave_their_number_to_the_autoscaler(
    objects: list[Manifest],
) -> None:
    scaled = {
        item["spec"]["scaleTargetRef"]["name"]
        for item in objects
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    for item in objects:
        if item["kind"] == "Deployment":
            assert ("replicas" in item["spec"]) != (item["metadata"]["name"] in scaled)


def test_by_queue_length_or_by_load_a_worker_has_one_autoscaler(tmp_path: Path) -> None:
    from tasks.messages import QUEUES

    objects = build_with(tmp_path, *OPTIONS)
    scalers = [i for i in objects if i["kind"] == "HorizontalPodAutoscaler"]
    assert [item["metadata"]["name"] for item in scalers] == ["stock-backtest-web"]
    scaled = get_one(objects, "ScaledObject", "stock-backtest-worker")["spec"]
    lists = {trigger["metadata"]["listName"] for trigger in scaled["triggers"]}
    assert lists == set(QUEUES)


def test_prometheus_asks_pods_by_a_name_that_they_answer_to(tmp_path: Path) -> None:
    objects = build_with(tmp_path, "monitoring")
    web = get_one(objects, "Deployment", "stock-backtest-web")["spec"]["template"]["spec"]
    variables = [variable["name"] for variable in web["containers"][0]["env"]]
    # The second is made of the first, which Kubernetes wants to be there before.
    assert variables.index("POD_IP") < variables.index(f"{PREFIX}BIND")
    bind = web["containers"][0]["env"][variables.index(f"{PREFIX}BIND")]["value"]
    assert bind == "$(POD_IP):5000"
    page = build_web(tmp_path, bind="10.1.2.3:5000", secret_key=SECRET_KEY)
    for host, status in (("10.1.2.3:5000", 200), ("10.1.2.4:5000", 400)):
        assert page.client.get("/health/live", headers={"Host": host}).status_code == status


def test_pods_run_as_the_user_of_the_image(production: list[Manifest]) -> None:
    user = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name, pod in list_pods(production):
        security = pod["securityContext"]
        assert [(str(security["runAsUser"]), str(security["runAsGroup"]))] == user, name


def test_nothing_is_called_latest() -> None:
    files = [
        *(ROOT / "k8s").rglob("*.yaml"),
        *(ROOT / name for name in ("Dockerfile", "docker-compose.yml")),
        *(ROOT / ".github").rglob("*.yml"),
    ]
    assert [str(path) for path in files if re.search(r"\blatest\b", path.read_text())] == []
