"""Validates every file under deploy/ offline and strictly: a key that nobody knows fails, as does a kind, a setting, a port by a name that there is not.

    check.py [--schemas DIR] [--kubernetes 1.31] [DEPLOY]

DIR (or $CRD_SCHEMAS) holds the CustomResourceDefinitions of KServe, KEDA and the Prometheus operator. What a tool or a schema is missing for is
passed over with a line `SKIPPED …`; make check-deploy brings what PyPI has. schemas.py knows kinds, this file where things lie.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml

    from schemas import Kinds, strict_yaml
except ImportError as error:
    print(f"SKIPPED all of deploy: {error.name} is not installed (deploy/requirements.txt)")
    sys.exit(0)

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILT = [file for build in ("release", "debug") if (file := ROOT / "target" / build / "resnetd").exists()]
# $RESNETD, or what was built last: an older one does not know newer settings.
SERVER = pathlib.Path(os.environ["RESNETD"]).resolve() if os.environ.get("RESNETD") else max(BUILT, key=lambda file: file.stat().st_mtime, default=None)
SETTING = re.compile(r"\bRESNETD__([A-Z0-9_]+)\b")
RESOURCES = {"cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"}
PROMETHEUS_TRIGGER = {"serverAddress", "query", "threshold", "activationThreshold"}
# The chart as it comes, and with everything that can be switched on.
CHART_VALUES = {
    "defaults": {},
    "hpa": {"autoscaling": {"by": "hpa"}, "gpus": 1, "models": {"claim": "models"}, "settings": {"LIMITS__MAX_IN_FLIGHT_BYTES": 2147483648},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]},
    "tokens": {"auth": {"issuer": "https://kubernetes.default.svc.cluster.local", "clusterTokens": True, "rights": [],
                        "grants": [{"name": "web", "claim": "/kubernetes.io/namespace", "value": "web", "models": ["*"], "images_per_second": 200}]}},
    "keda": {"autoscaling": {"by": "keda"}, "models": {"store": "s3://bucket/models"}, "monitor": {"enabled": True, "labels": {"release": "prometheus"}},
             "serviceAccount": {"name": "resnetd", "annotations": {"eks.amazonaws.com/role-arn": "arn"}}, "image": {"repository": "resnetd", "pullSecrets": ["registry"]},
             "tls": {"secret": "resnetd-tls"}, "auth": {"keysSecret": "resnetd-keys", "issuer": "https://id.example.com"},
             "envFrom": [{"secretRef": {"name": "store"}}], "env": [{"name": "AWS_REGION", "value": "eu-central-1"}], "podAnnotations": {"a": "b"}},
}


class Report:
    def __init__(self):
        self.failed, self.passed, self.skipped = [], 0, []

    def check(self, what, problem):
        """Counts one thing; `problem` is what is wrong with it, or nothing."""
        if problem:
            self.failed.append(what)
            print(f"FAILED {what}: {problem}")
        else:
            self.passed += 1

    def skip(self, what):
        if what not in self.skipped:
            self.skipped.append(what)
            print(f"SKIPPED {what}")


def tool(name):
    """A program beside this Python or in the path."""
    beside = pathlib.Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def said(command, cwd=None):
    """What a program that ends badly says, or nothing."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-2000:] or f"exit code {done.returncode}"


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


def documents(report, kinds, what, text, known):
    """The documents of one stream of Kubernetes' resources: each by its schema, then whether they fit each other."""
    try:
        found = [document for document in strict_yaml(text) if document]
    except yaml.YAMLError as error:
        return report.check(what, str(error))
    for document in found:
        if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
            report.check(what, f"a document without apiVersion, kind or metadata: {str(document)[:80]}")
            continue
        name = f"{what} {document['kind']}/{document['metadata'].get('name')}"
        problem, missing = kinds.problem(document)
        if missing:
            report.skip(f"{document['kind']}: {missing}")
        else:
            report.check(name, problem)
    try:
        loose = "; ".join(loose_ends(found))
    except (KeyError, TypeError, AttributeError) as error:
        loose = f"a key is missing or is no list: {error}"
    report.check(f"{what}: what refers to what", loose)
    if SERVER:
        report.check(f"{what}: the server takes its settings", "" if loose else "; ".join(filter(None, map(refused, found))))
    else:
        report.skip("whether the server takes the values of settings: it is not built")
    report.check(f"{what}: settings", unknown_settings(text, known))


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
    """Names by which documents refer to each other and that nobody has."""
    pods = [one["spec"]["template"] for one in found if one["kind"] == "Deployment"]
    names = {one["metadata"]["name"] for one in found if one["kind"] == "Deployment"}
    for pod in pods:
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        mounts = {mount["name"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])}
        if volumes != mounts:
            yield f"volumes {sorted(volumes)} and mounts {sorted(mounts)}"
        for container in pod["spec"]["containers"]:
            # Any name may be that of a resource.
            named = {name for bound in container.get("resources", {}).values() for name in bound}
            if odd := named - RESOURCES:
                yield f"resources {sorted(odd)}"
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port not in ports([pod]):
                    yield f"{probe} asks port {port}"
    for one in found:
        spec, kind = one.get("spec", {}), one["kind"]
        if kind in ("HorizontalPodAutoscaler", "ScaledObject") and spec["scaleTargetRef"]["name"] not in names:
            yield f"{kind} scales {spec['scaleTargetRef']['name']}"
        for trigger in spec.get("triggers", []) if kind == "ScaledObject" else []:
            # Its schema takes any key there.
            if trigger["type"] == "prometheus" and (odd := trigger["metadata"].keys() ^ PROMETHEUS_TRIGGER):
                yield f"KEDA's trigger has too many or too few keys: {', '.join(sorted(odd))}"
        selector = spec.get("selector") if kind == "Service" else spec.get("selector", spec.get("podSelector", {})).get("matchLabels")
        if kind in ("Service", "PodDisruptionBudget", "Deployment", "NetworkPolicy") and not any(
            (selector or {}).items() <= pod["metadata"]["labels"].items() and selector for pod in pods
        ):
            yield f"{kind} {one['metadata']['name']} selects {selector}"
        asked = [port.get("targetPort") for port in spec.get("ports", [])] if kind == "Service" else []
        asked += [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]] if kind == "NetworkPolicy" else []
        for port in asked:
            if port not in ports(pods):
                yield f"{kind} {one['metadata']['name']} asks port {port}"


def ports(pods):
    return {port["name"] for pod in pods for container in pod["spec"]["containers"] for port in container.get("ports", [])}


def kubernetes(report, kinds, deploy, known):
    for file in sorted([*deploy.glob("kserve/*.yaml")]):
        documents(report, kinds, str(file.relative_to(deploy)), file.read_text(), known)
    build = [tool("kustomize"), "build"] if tool("kustomize") else [tool("kubectl"), "kustomize"] if tool("kubectl") else None
    if not build:
        return report.skip("deploy/kubernetes: neither kustomize nor kubectl is installed")
    for folder in sorted(file.parent for file in deploy.glob("kubernetes/**/kustomization.yaml")):
        what = str(folder.relative_to(deploy))
        done = subprocess.run([*build, str(folder)], capture_output=True, text=True, timeout=60, check=False)
        # A key that is old is said, not refused.
        report.check(f"{what} (kustomize)", done.stderr.strip() or ("" if done.returncode == 0 else "it does not build"))
        documents(report, kinds, what, done.stdout, known)
        if done.returncode == 0:
            report.check(f"{what}: patches", ", ".join(lost(folder, done.stdout)))


def lost(folder, rendered):
    """What a patch says and the result does not: kustomize drops an entry of a list that has not the key by which it merges."""
    [kustomization] = strict_yaml((folder / "kustomization.yaml").read_text())
    there = set(leaves(strict_yaml(rendered)))
    for patch in kustomization.get("patches", []):
        if "path" in patch:
            for key, value in leaves(strict_yaml((folder / patch["path"]).read_text())):
                if (key, value) not in there:
                    yield f"{patch['path']}: {key}: {value}"


def leaves(tree, key=None):
    """Every plain value with the last key above it."""
    for inner, one in tree.items() if isinstance(tree, dict) else ((key, one) for one in tree) if isinstance(tree, list) else ():
        yield from leaves(one, inner)
    if not isinstance(tree, (dict, list)):
        yield key, str(tree)


def chart(report, kinds, folder, known):
    try:
        import helm_python
    except ImportError:
        return report.skip("deploy/helm: Helm's library is not installed; the chart is neither linted nor rendered")
    for name, values in CHART_VALUES.items():
        what = f"helm/{folder.name} ({name})"
        try:
            found = helm_python.lint(str(folder), values, strict=True)
            # 1 is advice.
            report.check(f"{what} lint", "; ".join(one["error"] for one in found["messages"] if one["severity"] > 1))
            with helm_python.Chart.load(str(folder)) as loaded:
                rendered = loaded.render(values, name="demo", namespace="resnetd")
        except helm_python.HelmError as error:
            report.check(what, str(error))
            continue
        text = "\n---\n".join(text for file, text in rendered.items() if not file.endswith(".txt"))
        documents(report, kinds, what, text, known)
    # What is not in the schema of values is a typo.
    try:
        with helm_python.Chart.load(str(folder)) as loaded:
            loaded.render({"replica": 3}, name="demo", namespace="resnetd")
        report.check(f"helm/{folder.name} values.schema.json", "an unknown value is taken")
    except helm_python.HelmError:
        report.check(f"helm/{folder.name} values.schema.json", "")


def compose(report, folder, known):
    file = folder / "compose.yaml"
    try:
        [document] = strict_yaml(file.read_text())
    except (yaml.YAMLError, ValueError) as error:
        return report.check("compose/compose.yaml", str(error))
    report.check("compose/compose.yaml: settings", unknown_settings(file.read_text(), known))
    gone = [source for service in document.get("services", {}).values() for volume in service.get("volumes", [])
            if (source := volume.split(":")[0]).startswith(".") and not (folder / source).exists()]
    report.check("compose/compose.yaml: files", ", ".join(gone))
    try:
        from compose_spec import PyCompose
    except ImportError:
        return report.skip("deploy/compose: compose-spec is not installed")
    plain = yaml.safe_dump({key: value for key, value in document.items() if not key.startswith("x-")})
    try:
        PyCompose.from_yaml(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", plain)).validate()
        report.check("compose/compose.yaml", "")
    except Exception as error:  # noqa: BLE001: the library has no class of its own for what is wrong
        report.check("compose/compose.yaml", str(error))


def prometheus(report, file):
    if not tool("promtool"):
        return report.skip(f"deploy/{file.parent.name}/{file.name}: promtool is not installed")
    report.check(f"{file.parent.name}/{file.name}", said([tool("promtool"), "check", "config", str(file)]))


def units(report, folder, known):
    files = sorted([*folder.glob("*.service"), *folder.glob("*.socket")])
    for file in files:
        report.check(f"systemd/{file.name}: settings", unknown_settings(file.read_text(), known))
        names = set(re.findall(r"^FileDescriptorName=(.*)$", file.read_text(), re.MULTILINE))
        if file.suffix == ".socket" and not (len(names) == 1 and names <= {"http", "grpc", "management"}):
            report.check(f"systemd/{file.name}", f"FileDescriptorName is {names or 'not there'}, not http, grpc or management")
    if not tool("systemd-analyze"):
        return report.skip("deploy/systemd: systemd-analyze is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        # Together, since a socket names its service.
        copies = [pathlib.Path(scratch, file.name) for file in files]
        for file, copy in zip(files, copies):
            # It asks whether the program is there.
            copy.write_text(re.sub(r"^(ExecStart)=\S+", r"\1=/bin/true", file.read_text(), flags=re.MULTILINE))
        for copy in copies:
            done = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False)
            # Unknown keys are said and passed over; what it says of other units is not ours.
            lines = [line for line in (done.stdout + done.stderr).splitlines() if copy.name in line]
            report.check(f"systemd/{copy.name}", "\n".join(lines))


def front(report, folder):
    """The proxies' files by the proxies themselves, with addresses that need no name server."""
    commands = {
        "haproxy.cfg": ("haproxy", lambda file: ["-c", "-f", file]),
        "nginx.conf": ("nginx", lambda file: ["-t", "-q", "-e", "stderr", "-g", f"pid {file}.pid;", "-p", os.path.dirname(file), "-c", file]),
        "envoy.yaml": ("envoy", lambda file: ["--mode", "validate", "--log-level", "error", "-c", file]),
    }
    for name, (program, arguments) in commands.items():
        if not tool(program):
            report.skip(f"deploy/proxy/{name}: {program} is not installed")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch, name)
            text = (folder / name).read_text()
            copy.write_text(re.sub(r"(\s|address: )resnetd-\d(:8000|, port)", r"\g<1>127.0.0.1\2", text))
            report.check(f"proxy/{name}", said([tool(program), *arguments(str(copy))]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deploy", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--schemas", default=os.environ.get("CRD_SCHEMAS", ""))
    parser.add_argument("--kubernetes", default="1.31", help="the version whose schemas count")
    options = parser.parse_args()
    report, deploy = Report(), options.deploy
    known = settings(ROOT)
    kinds = Kinds(options.schemas, options.kubernetes)
    kubernetes(report, kinds, deploy, known)
    chart(report, kinds, deploy / "helm/resnetd", known)
    compose(report, deploy / "compose", known)
    prometheus(report, deploy / "compose/prometheus.yml")
    units(report, deploy / "systemd", known)
    front(report, deploy / "proxy")
    print(f"deploy: {report.passed} checks passed, {len(report.failed)} failed, {len(report.skipped)} skipped")
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
