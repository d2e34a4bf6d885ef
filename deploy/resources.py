"""Whether the documents of one stream of Kubernetes' resources are what their kinds say, fit each other, and set what the server has. Knows no folder of
deploy/.
"""
import functools
import os
import pathlib
import re
import subprocess
import tempfile

import yaml
from schemas import strict_yaml
from series import Series, keys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILT = [file for build in ("release", "debug") if (file := ROOT / "target" / build / "resnetd").exists()]
# $RESNETD, or what was built last: an older one does not know newer settings.
SERVER = pathlib.Path(os.environ["RESNETD"]).resolve() if os.environ.get("RESNETD") else max(BUILT, key=lambda file: file.stat().st_mtime, default=None)
SETTING = re.compile(r"\bRESNETD__([A-Z0-9_]+)\b")
RESOURCES = {"cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"}
# No schema knows a label or an annotation, so this is how they are spelt.
LABELS = set(
    "app.kubernetes.io/instance app.kubernetes.io/managed-by app.kubernetes.io/name app.kubernetes.io/version cluster-autoscaler.kubernetes.io/safe-to-evict "
    "eks.amazonaws.com/role-arn helm.sh/chart kubernetes.io/metadata.name pod-security.kubernetes.io/enforce prometheus.kserve.io/path "
    "prometheus.kserve.io/port resnetd.dev/client serving.kserve.io/autoscalerClass serving.kserve.io/deploymentMode".split()
)
PROMETHEUS_TRIGGER = {"serverAddress", "query", "threshold", "activationThreshold"}


def settings(root):
    """Every SECTION__KEY of config/resnetd.toml."""
    section, known = "", set()
    for line in (root / "config/resnetd.toml").read_text().splitlines():
        if found := re.match(r"\[([\w.]+)\]", line):
            section = found[1].replace(".", "__")
        elif found := re.match(r"(\w+) =", line):
            known.add(f"{section}__{found[1]}".upper())
    return known


def unknown_settings(text, known):
    lines = [line.split("#", 1)[0] for line in text.splitlines()]
    return ", ".join(sorted({found[0] for line in lines for found in SETTING.finditer(line) if found[1] not in known}))


def documents(report, kinds, what, text, known, files=None):
    """The documents of one stream of Kubernetes' resources: each by its schema, then whether they fit each other.

    `files`: (kind, name) → where it stands, for who looks for the mistake
    """
    try:
        found = [document for document in strict_yaml(text) if document]
    except yaml.YAMLError as error:
        return report.check(what, str(error))

    def named(document):
        name = f"{document['kind']}/{document['metadata'].get('name')}"
        where = files.get((document["kind"], document["metadata"].get("name"))) if files else None
        return f"{name} ({', '.join(where)})" if where else name

    def each(problem):
        """What is wrong with some of them, or nothing."""
        return "; ".join(f"{named(document)}: {wrong}" for document in found if (wrong := problem(document)))

    for document in found:
        if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
            return report.check(what, f"a document without apiVersion, kind or metadata: {str(document)[:80]}")
        problem, missing = kinds.problem(document)
        if missing:
            report.skip(f"{document['kind']}: {missing}")
        else:
            report.check(f"{what} {named(document)}", problem)
    try:
        loose = "; ".join(f"{named(document)}: {wrong}" for document, wrong in loose_ends(found))
    except (KeyError, TypeError, AttributeError) as error:
        loose = f"a key is missing or is no list: {error}"
    report.check(f"{what}: what refers to what", loose)
    if SERVER:
        report.check(f"{what}: the server takes its settings", "" if loose else each(refused))
    else:
        report.skip("whether the server takes the values of settings: it is not built")
    report.check(f"{what}: settings", each(lambda document: unknown_settings(yaml.safe_dump(document, width=1 << 20), known)))
    report.check(f"{what}: metrics", each(lambda document: server_series().unnamed(yaml.safe_dump(document, width=1 << 20))))


@functools.cache
def server_series():
    return Series(ROOT)


def by_name(texts):
    """(kind, name) → the files that have such a document, of pairs of a file's name and its text."""
    found = {}
    for file, text in texts:
        for document in strict_yaml(text):
            if isinstance(document, dict) and isinstance(document.get("metadata"), dict):
                found.setdefault((document.get("kind"), document["metadata"].get("name")), []).append(file)
    return found


def refused(document):
    """What the server itself says of a Deployment's settings. Files are in the pod alone, so what names one is left out."""
    if document["kind"] != "Deployment":
        return ""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RESNETD__")}
    [container] = document["spec"]["template"]["spec"]["containers"]
    set_here = {one["name"]: one["value"] for one in container["env"] if not one.get("value", "/").startswith("/")}
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run([SERVER, "check-config"], cwd=empty, env=own | set_here, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip() if done.returncode else ""


def loose_ends(found):
    """Names by which documents refer to each other and that nobody has: (document, what)."""
    deployments = [one for one in found if one["kind"] == "Deployment"]
    pods = [one["spec"]["template"] for one in deployments]
    names = {one["metadata"]["name"] for one in deployments}
    for one, container in containers(found):
        # Any name may be that of a resource.
        if odd := {name for bound in container.get("resources", {}).values() for name in bound} - RESOURCES:
            yield one, f"resources {sorted(odd)}"
    for deployment, pod in zip(deployments, pods):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        mounts = {mount["name"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])}
        if volumes != mounts:
            yield deployment, f"volumes {sorted(volumes)} and mounts {sorted(mounts)}"
        for container in pod["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port not in ports([pod]):
                    yield deployment, f"{probe} asks port {port}"
    for one in found:
        spec, kind = one.get("spec", {}), one["kind"]
        yield from ((one, f"label or annotation {key}") for key in sorted({key for key in keys(one) if "/" in key} - LABELS - RESOURCES))
        if kind in ("HorizontalPodAutoscaler", "ScaledObject") and spec["scaleTargetRef"]["name"] not in names:
            yield one, f"it scales {spec['scaleTargetRef']['name']}"
        for trigger in spec.get("triggers", []) if kind == "ScaledObject" else []:
            # Its schema takes any key there.
            if trigger["type"] == "prometheus" and (odd := trigger["metadata"].keys() ^ PROMETHEUS_TRIGGER):
                yield one, f"KEDA's trigger has too many or too few keys: {', '.join(sorted(odd))}"
            yield from ((one, wrong) for wrong in server_series().odd(trigger["metadata"].get("query")))
        for metric in spec["predictor"].get("autoScaling", {}).get("metrics", []) if kind == "InferenceService" else []:
            yield from ((one, wrong) for wrong in server_series().odd(metric["external"]["metric"].get("query")))
        selector = spec.get("selector") if kind == "Service" else spec.get("selector", spec.get("podSelector", {})).get("matchLabels")
        if kind in ("Service", "PodDisruptionBudget", "Deployment", "NetworkPolicy") and not any(
            (selector or {}).items() <= pod["metadata"]["labels"].items() and selector for pod in pods
        ):
            yield one, f"it selects {selector}"
        asked = [port.get("targetPort") for port in spec.get("ports", [])] if kind == "Service" else []
        asked += [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]] if kind == "NetworkPolicy" else []
        for port in asked:
            if port not in ports(pods):
                yield one, f"it asks port {port}"


def containers(found):
    """Each with its document, of Deployments and of KServe's runtimes."""
    for one in found:
        spec = one["spec"]["template"]["spec"] if one["kind"] == "Deployment" else one.get("spec", {}) if one["kind"] == "ClusterServingRuntime" else {}
        yield from ((one, container) for container in spec.get("containers", []))


def ports(pods):
    return {port["name"] for pod in pods for container in pod["spec"]["containers"] for port in container.get("ports", [])}
