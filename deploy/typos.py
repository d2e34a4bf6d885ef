"""A letter that is missing anywhere under deploy/ has to fail, and to say in which file: each file is broken once or twice in a copy, and checked there.

Every file has to be named here, so that none comes which nobody reads. What a tool is missing for is said once.
"""
import fnmatch
import pathlib
import shutil
import tempfile

# Of which file (the first line that fits), what becomes what.
TYPOS = [
    ("kubernetes/base/kustomization.yaml", [("newTag:", "newTga:"), ("- service.yaml", "- servic.yaml")]),
    ("kubernetes/base/deployment.yaml", [("livenessProbe:", "livenesProbe:"), ("RESNETD__LIMITS__", "RESNETD__LIMIT__"), ("memory:", "memroy:")]),
    ("kubernetes/base/service.yaml", [("targetPort: grpc", "targetPort: grcp")]),
    ("kubernetes/base/disruption.yaml", [("maxUnavailable:", "maxUnavailble:")]),
    ("kubernetes/base/network.yaml", [("namespaceSelector:", "namespaceSelecter:")]),
    ("kubernetes/base/autoscaler.yaml", [("averageValue:", "averageValu:"), ("resnetd_load_ratio", "resnetd_load_ration")]),
    ("kubernetes/base/monitor.yaml", [("sourceLabels:", "sourceLabel:")]),
    ("kubernetes/base/namespace.yaml", [("labels:", "lables:")]),
    ("kubernetes/overlays/keda/scaledobject.yaml", [("threshold:", "treshold:"), ("behavior:", "behaviour:"), ("resnetd_load_ratio", "resnetd_load_rati")]),
    ("kubernetes/overlays/*/kustomization.yaml", [("namespace:", "namespac:")]),
    ("kubernetes/overlays/gpu/gpu.yaml", [("nvidia.com/gpu: ", "nvidia.com/gpus: "), ("effect:", "efect:")]),
    ("kubernetes/overlays/*/network.yaml", [("protocol:", "protocoll:")]),
    ("kubernetes/overlays/oidc/tokens.yaml", [("expirationSeconds:", "expirationSecond:"), ("OIDC__ISSUER", "OIDC__ISUER")]),
    ("kubernetes/overlays/store/account.yaml", [("automountServiceAccountToken:", "automountServiceAcountToken:")]),
    ("kubernetes/overlays/store/store.yaml", [("serviceAccountName:", "serviceAcountName:")]),
    ("kubernetes/overlays/tls-keys/secrets.yaml", [("secretName:", "secretNam:")]),
    ("kubernetes/overlays/tls-keys/service.yaml", [("appProtocol:", "appProtocoll:")]),
    ("helm/resnetd/Chart.yaml", [("appVersion:", "apVersion:")]),
    ("helm/resnetd/values.yaml", [("pullPolicy:", "pulPolicy:"), ("autoscaling:", "autoscalling:")]),
    ("helm/resnetd/values.schema.json", [('"additionalProperties": false', '"additionalPropertys": false'), ('"minimum"', '"minimun"')]),
    ("helm/resnetd/templates/_helpers.tpl", [('define "resnetd.selector"', 'define "resnetd.selecter"')]),
    ("helm/resnetd/templates/autoscaling.yaml", [("maxReplicas:", "maxReplica:"), (".Values.autoscaling.min", ".Values.autoscaling.mn")]),
    ("helm/resnetd/templates/around.yaml", [("jobLabel:", "jobLable:")]),
    ("helm/resnetd/templates/deployment.yaml", [("readinessProbe:", "readynessProbe:"), ("RESNETD__TLS__CERT", "RESNETD__TLS__CRT")]),
    ("helm/resnetd/templates/service.yaml", [("clusterIP:", "clusterIp:")]),
    ("kserve/resnet50.yaml", [("storageUri:", "storageURI:"), ("deploymentMode:", "deploymentMod:"), ("resnetd_load_ratio", "resnetd_load_ration")]),
    ("kserve/runtimes.yaml", [("supportedModelFormats:", "supportedModelFormat:"), ("RESNETD__LOG__FORMAT", "RESNETD__LOGS__FORMAT"), ("memory:", "memroy:")]),
    ("compose/compose.yaml", [("stop_grace_period:", "stop_grace_perod:"), ("./prometheus.yml", "./prometeus.yml")]),
    ("compose/prometheus.yml", [("targets:", "target:")]),
    ("systemd/*.socket", [("FileDescriptorName=", "FileDescriptorNam="), ("ListenStream=", "ListenStraem=")]),
    ("systemd/resnetd.service", [("LimitNOFILE=", "LimitNOFILES="), ("RESNETD__MODELS__DIR", "RESNETD__MODEL__DIR")]),
    ("proxy/haproxy.cfg", [("balance leastconn", "balance leastcon")]),
    ("proxy/nginx.conf", [("least_conn;", "least_con;")]),
    ("proxy/envoy*.yaml", [("connect_timeout:", "conect_timeout:")]),
    ("prometheus/resnetd.rules.yml", [("annotations:", "anotations:"), ("resnetd_requests_total", "resnetd_request_total"), ("increase(", "increased("), ('code="', 'coed="')]),
    ("prometheus/resnetd.rules.test.yml", [("alertname:", "alertnam:"), ("ResnetdSlow", "ResnetdSlov")]),
    ("prometheus/prometheus.yml", [("metrics_path:", "metric_path:"), ("resnetd.rules.yml", "resnetd.rule.yml")]),
    ("grafana/*.json", [('"expr":', '"exprs":'), ("resnetd_queue_depth", "resnetd_queue_deph"), ("histogram_quantile(", "histogramm_quantile("), ("{{model}}", "{{modle}}"), ('"unit":', '"units":')]),
]
# What reads the files, and what it reads with.
OUR_OWN = ("*.py", "*.sh", "requirements.*", "*.pyc")


def check(report, deploy, parts, new_report):
    """`parts`: folder → what checks it in a copy of `deploy`; `new_report` makes one for it to say what it found."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch, "deploy")
        shutil.copytree(deploy, copy, ignore=shutil.ignore_patterns(*OUR_OWN))
        for file in sorted(file for file in copy.rglob("*") if file.is_file()):
            what = str(file.relative_to(copy))
            part = next((part for part in parts if what.startswith(f"{part}/")), None)
            typos = next((typos for pattern, typos in TYPOS if fnmatch.fnmatch(what, pattern)), None)
            if not (part and typos):
                report.check(f"typo in {what}", "nobody reads this file: it wants a line in typos.py, and a check")
                continue
            text = file.read_text()
            for right, wrong in typos:
                file.write_text(text.replace(right, wrong))
                report.check(f"typo in {what}", missed(lambda found: parts[part](found, copy), file.name, right, wrong, text, report, new_report))
            file.write_text(text)


class Seen(Exception):
    """The typo was told, with its file: what is behind it in the check need not run."""


def missed(run, name, right, wrong, text, report, new_report):
    """What is wrong with how `run` takes a typo in a file of that name, or nothing."""
    if right not in text:
        return f"there is no {right} any more to make {wrong} of"

    def say(line):
        if line.startswith("FAILED") and name in line:
            raise Seen

    found = new_report(say=say)
    try:
        run(found)
    except Seen:
        return ""
    if found.failed:
        return f"{wrong} fails, and nobody says that it is in {name}: {found.failed[0]}"
    for reason in found.skipped:
        # Said already of the file as it is.
        report.skip(reason)
    return "" if found.skipped else f"{wrong} for {right} is taken"
