"""Validates every file under deploy/ offline and strictly: a key that nobody knows fails, as does a kind, a setting, a port by a name that there is not.

    check.py [--schemas DIR] [--kubernetes 1.31] [--only PART,…] [DEPLOY]

DIR (or $CRD_SCHEMAS) holds the CustomResourceDefinitions of KServe, KEDA and the Prometheus operator. What a tool or a schema is missing for is
passed over with a line `SKIPPED …`; make check-deploy brings what PyPI has. resources.py knows how documents of Kubernetes fit each other, schemas.py
their kinds, series.py the server's metrics, typos.py what has to fail, this file where things lie.
"""
import argparse
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml

    import typos
    from resources import ROOT, by_name, documents, server_series, settings, unknown_settings
    from schemas import Kinds, once_each, strict_yaml
    from series import configuration, dashboard, rule_tests, rules
except ImportError as error:
    print(f"SKIPPED all of deploy: {error.name} is not installed (deploy/requirements.txt)")
    sys.exit(0)

# By which deploy/proxy/envoy-orca.yaml differs from envoy.yaml.
OF_ORCA = {"lb_policy", "load_balancing_policy", "request_headers_to_add", "response_headers_to_remove"}
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
    """`say` gets each line of it."""

    def __init__(self, say=print):
        self.failed, self.passed, self.skipped, self.say = [], 0, [], say

    def check(self, what, problem):
        """Counts one thing; `problem` is what is wrong with it, or nothing."""
        if problem:
            self.failed.append(f"{what}: {problem}")
            self.say(f"FAILED {what}: {problem}")
        else:
            self.passed += 1

    def skip(self, what):
        if what not in self.skipped:
            self.skipped.append(what)
            self.say(f"SKIPPED {what}")


def tool(name):
    """A program beside this Python or in the path."""
    beside = pathlib.Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def said(command, cwd=None):
    """What a program that ends badly says, or nothing."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-2000:] or f"exit code {done.returncode}"


def kserve(report, kinds, folder, known):
    for file in sorted(folder.glob("*.yaml")):
        documents(report, kinds, f"kserve/{file.name}", file.read_text(), known)


def kubernetes(report, kinds, folder, known):
    """A base or an overlay."""
    deploy = folder.parents[1] if folder.name == "base" else folder.parents[2]
    build = [tool("kustomize"), "build"] if tool("kustomize") else [tool("kubectl"), "kustomize"] if tool("kubectl") else None
    if not build:
        return report.skip("deploy/kubernetes: neither kustomize nor kubectl is installed")
    what = str(folder.relative_to(deploy))
    sources = [(str(file.relative_to(deploy / "kubernetes")), file.read_text()) for file in sorted({*deploy.glob("kubernetes/base/*.yaml"), *folder.glob("*.yaml")})]
    for file, text in sources:
        try:
            strict_yaml(text)
        except yaml.YAMLError as error:
            return report.check(f"kubernetes/{file}", str(error))
    done = subprocess.run([*build, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    # A key that is old is said, not refused.
    report.check(f"{what} (kustomization.yaml)", done.stderr.strip() or ("" if done.returncode == 0 else "it does not build"))
    documents(report, kinds, what, done.stdout, known, by_name(sources))
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
            report.check(f"{what} lint", "; ".join(in_which(one["error"]) for one in found["messages"] if one["severity"] > 1))
            with helm_python.Chart.load(str(folder)) as loaded:
                rendered = loaded.render(values, name="demo", namespace="resnetd")
        except helm_python.HelmError as error:
            report.check(what, in_which(str(error)))
            continue
        rendered = {file: text for file, text in rendered.items() if not file.endswith(".txt")}
        try:
            files = by_name(rendered.items())
        except yaml.YAMLError as error:
            report.check(what, str(error))
            continue
        documents(report, kinds, what, "\n---\n".join(rendered.values()), known, files)
    report.check(f"helm/{folder.name} values.schema.json: keywords", ", ".join(odd_keywords(json.loads((folder / "values.schema.json").read_text()))))
    # What is not in the schema of values is a typo.
    try:
        with helm_python.Chart.load(str(folder)) as loaded:
            loaded.render({"replica": 3}, name="demo", namespace="resnetd")
        report.check(f"helm/{folder.name} values.schema.json", "an unknown value is taken")
    except helm_python.HelmError:
        report.check(f"helm/{folder.name} values.schema.json", "")


def odd_keywords(schema):
    """Words of a schema that JSON Schema has not, which it passes over."""
    known = {"$schema", "type", "enum", "const", "pattern", "minimum", "maximum", "exclusiveMinimum", "minLength", "minItems", "items", "required", "properties", "propertyNames",
             "additionalProperties"}
    yield from sorted(schema.keys() - known)
    inner = [schema.get(word) for word in ("items", "additionalProperties", "propertyNames")]
    for one in [*schema.get("properties", {}).values(), *inner]:
        if isinstance(one, dict):
            yield from odd_keywords(one)


def in_which(message):
    """What Helm says, with the file, which it leaves out of these."""
    file = "Chart.yaml: " if "chart metadata file" in message else "values.yaml: " if "specifications of the schema" in message else ""
    return file + message


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
    services = document.get("services", {})
    report.check("compose/compose.yaml: who waits for whom", ", ".join(
        name for service in services.values() for name in service.get("depends_on", {}) if name not in services))
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


def prometheus(report, files):
    """Configurations, rules and their tests: by promtool where it is, and by what the server counts."""
    read, alerts = {}, set()
    for file in sorted(files):
        what = f"{file.parent.name}/{file.name}"
        try:
            [read[file]] = strict_yaml(file.read_text())
            alerts |= {rule.get("alert") for group in read[file].get("groups", []) for rule in group["rules"]}
        except (yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError) as error:
            report.check(what, f"{type(error).__name__}: {error}")
    for file, document in read.items():
        what = f"{file.parent.name}/{file.name}"
        kind = "test rules" if "tests" in document else "check rules" if "groups" in document else "check config"
        try:
            wrong = {
                "test rules": lambda: rule_tests(document, server_series(), alerts),
                "check rules": lambda: rules(document, server_series()),
                "check config": lambda: configuration(document),
            }[kind]()
            report.check(what, "; ".join(wrong))
        except (AttributeError, KeyError, TypeError) as error:
            report.check(what, f"a key is missing or is no list: {error}")
        gone = [name for name in document.get("rule_files", []) if "/" not in name and not (file.parent / name).exists()]
        report.check(f"{what}: files", ", ".join(gone))
        if tool("promtool"):
            report.check(f"{what} (promtool)", said([tool("promtool"), *kind.split(), str(file)]))
        else:
            report.skip("promtool is not installed: Prometheus' files are held to their keys and to the server's metrics alone")


def grafana(report, folder):
    for file in sorted(folder.glob("*.json")):
        try:
            wrong = dashboard(json.loads(file.read_text(), object_pairs_hook=once_each), server_series())
            report.check(f"grafana/{file.name}", "; ".join(wrong))
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            report.check(f"grafana/{file.name}", f"{type(error).__name__}: {error}")


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
        **dict.fromkeys(("envoy.yaml", "envoy-orca.yaml"), ("envoy", lambda file: ["--mode", "validate", "--log-level", "error", "-c", file])),
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
    try:
        plain, orca = (without(OF_ORCA, strict_yaml((folder / name).read_text())) for name in ("envoy.yaml", "envoy-orca.yaml"))
        problem = "" if plain == orca else f"they differ by more than {', '.join(sorted(OF_ORCA))}"
    except yaml.YAMLError as error:
        problem = str(error)
    report.check("proxy/envoy-orca.yaml: the rest of it is as in envoy.yaml", problem)


def without(keys, tree):
    """What is left where none of `keys` is, at any depth."""
    if isinstance(tree, dict):
        return {key: without(keys, one) for key, one in tree.items() if key not in keys}
    return [without(keys, one) for one in tree] if isinstance(tree, list) else tree


def parts(deploy, options):
    """The folders of deploy/, and what checks each."""
    known = settings(ROOT)
    kinds = functools.cache(lambda: Kinds(options.schemas, options.kubernetes))
    found = {"kserve": lambda report, deploy: kserve(report, kinds(), deploy / "kserve", known)}
    for file in sorted(deploy.glob("kubernetes/**/kustomization.yaml")):
        folder = file.parent.relative_to(deploy)
        found[str(folder)] = lambda report, deploy, folder=folder: kubernetes(report, kinds(), deploy / folder, known)
    found |= {
        "helm/resnetd": lambda report, deploy: chart(report, kinds(), deploy / "helm/resnetd", known),
        "compose": lambda report, deploy: (compose(report, deploy / "compose", known), prometheus(report, [deploy / "compose/prometheus.yml"])),
        "systemd": lambda report, deploy: units(report, deploy / "systemd", known),
        "proxy": lambda report, deploy: front(report, deploy / "proxy"),
        "prometheus": lambda report, deploy: prometheus(report, (deploy / "prometheus").glob("*.y*ml")),
        "grafana": lambda report, deploy: grafana(report, deploy / "grafana"),
        "metrics": lambda report, _: report.check("docs/metrics.md", server_series().undocumented((ROOT / "docs/metrics.md").read_text())),
        "typos": lambda report, deploy: typos.check(report, deploy, found, Report),
    }
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deploy", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--schemas", default=os.environ.get("CRD_SCHEMAS", ""))
    parser.add_argument("--kubernetes", default="1.31", help="the version whose schemas count")
    parser.add_argument("--only", default="", help="folders of deploy/ with commas between, `metrics`, `typos`")
    options = parser.parse_args()
    report = Report()
    every = parts(options.deploy.resolve(), options)
    wanted = [name for name in every if not options.only or any(f"{name}/".startswith(f"{part.strip('/')}/") for part in options.only.split(","))]
    if not wanted:
        parser.error(f"--only: there is none of {options.only}, but {', '.join(every)}")
    for name in wanted:
        every[name](report, options.deploy.resolve())
    print(f"deploy: {report.passed} checks passed, {len(report.failed)} failed, {len(report.skipped)} skipped")
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
