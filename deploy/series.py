"""Which series the server has, and whether Prometheus' rules, Grafana's dashboards and whoever scales ask for others. Knows no folder of deploy/.

Names and labels are read where the server registers them (src/telemetry). What is between them is held to PromQL's words: a typo in an expression is no
error to Prometheus, but an alert that never fires. promtool and tests/interop/prometheus ask the real one.
"""
import fnmatch
import json
import re

WORDS = set(
    "abs absent absent_over_time and avg avg_over_time bool bottomk by ceil changes clamp_max clamp_min count count_over_time delta deriv floor "
    "group_left group_right histogram_quantile ignoring increase irate label_replace last_over_time max max_over_time min min_over_time offset on or "
    "quantile quantile_over_time rate resets round scalar sort sort_desc sum sum_over_time time topk unless vector without".split()
)
LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")
# What Prometheus adds by itself, or finds out of Kubernetes.
ADDED = {"job", "instance", "le", "namespace", "pod"}
RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
CONFIGURATION = {
    "": {"global", "rule_files", "scrape_configs", "alerting", "remote_write"},
    "global": {"scrape_interval", "scrape_timeout", "evaluation_interval", "external_labels"},
    "scrape_configs": {"job_name", "metrics_path", "scheme", "scrape_interval", "scrape_timeout", "static_configs", "kubernetes_sd_configs",
                       "relabel_configs", "metric_relabel_configs", "authorization", "tls_config"},
    "static_configs": {"targets", "labels"},
}
# Grafana passes over what it does not know, so this is how the dashboard's keys are spelt; a further one belongs here.
GRAFANA = set(
    "allValue annotations calcs calculate cellGap collapsed color colorMode current custom datasource defaults definition description displayMode editable "
    "editorMode enable exemplar exemplars expr fieldConfig fields fillOpacity format from graphMode graphTooltip gridPos h iconColor id includeAll instant "
    "label legend legendFormat lineWidth list max min mode multi name options overrides panels placement query range reduceOptions refId refresh "
    "schemaVersion scheme selected show showHeader showPoints sort stacking steps tags targets templating text textMode thresholds time title titleFormat "
    "to tooltip type uid unit value values version w x y yAxis yHistogram".split()
)


class Series:
    """Names of the server's series, and their labels."""

    def __init__(self, root):
        self.families, self.names, self.labels = set(), {"up"}, set(ADDED)
        for file in sorted((root / "src/telemetry").rglob("*.rs")):
            text = file.read_text().split("#[cfg(test)]")[0]
            found = set(re.findall(r'\.register\(\s*"([a-z_]+)"', text)) | set(re.findall(r'\(\s*"([a-z_]+)",\s*"[A-Z0-9]', text))
            timed = set(re.findall(r"(\w+): Family<\w+, \w*Histogram>", text))
            histograms = {name for name, field in re.findall(r'\.register\(\s*"(\w+)",\s*"[^"]*",\s*self\.(\w+)', text) if field in timed}
            self.families |= {f"resnetd_{name}" for name in found}
            self.names |= {f"resnetd_{name}" for name in found - histograms}
            self.names |= {f"resnetd_{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
            self.names |= set(re.findall(r'"(process_[a-z_]+)"', text))
            for fields in re.findall(r"EncodeLabelSet\)\]\s*(?:pub\S* )?struct \w+ \{([^}]*)\}", text):
                self.labels |= set(re.findall(r"(\w+):", fields))

    def unnamed(self, text):
        """Names in any text that look like the server's and are none."""
        return ", ".join(sorted({name for name in re.findall(r"\bresnetd_[a-z_]+[a-z]", text) if name not in self.names | self.families}))

    def undocumented(self, text):
        """What a page of metrics does not name, and what it names that is not there; `…` and `*` stand for anything."""
        said = {name.replace("…", "*") for name in re.findall(r"\bresnetd_[a-z_…*]+", text)}
        silent = sorted(name for name in self.families if not any(fnmatch.fnmatch(name, pattern) for pattern in said))
        gone = sorted(pattern for pattern in said if not fnmatch.filter(self.families, pattern))
        return ", ".join([*(f"does not name {name}" for name in silent), *(f"{name} is not there" for name in gone)])

    def odd(self, expression):
        """What in an expression is no series, no label and no word of PromQL's."""
        if not isinstance(expression, str) or not expression.strip():
            yield f"no expression: {expression!r}"
            return
        text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        for opened, closed in ("()", "{}", "[]"):
            if text.count(opened) != text.count(closed):
                yield f"{opened} and {closed} are not as many"
        labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", text)
        labels += [label.strip() for listed in LISTS.findall(text) for label in listed.split(",") if label.strip()]
        yield from (f"no series has the label {label}" for label in labels if label not in self.labels)
        for length in re.findall(r"\[([^\]]*)\]", text):
            if length != "$__rate_interval" and not DURATION.fullmatch(length):
                yield f"[{length}] is no time"
        text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", LISTS.sub(" ", text))
        words = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*", text)
        yield from (f"{word} is neither a series nor a word of PromQL" for word in words if word not in self.names | WORDS)

    def odd_labels(self, text, pattern):
        return (f"no series has the label {label}" for label in re.findall(pattern, text) if label not in self.labels)


def strange(found, known):
    yield from (f"unknown key {key}" for key in sorted(set(found) - known))


def keys(tree):
    """Every key at any depth."""
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from keys(inner)
    if isinstance(tree, dict):
        yield from tree


def rules(document, series):
    """What is wrong with groups of rules."""
    yield from strange(document, {"groups"})
    for group in document["groups"]:
        yield from strange(group, {"name", "interval", "limit", "labels", "rules"})
        for rule in group["rules"]:
            name = rule.get("alert") or rule.get("record")
            if bool(rule.get("alert")) == bool(rule.get("record")):
                yield f"neither an alert nor a record, or both: {rule}"
            wrong = [*strange(rule, RULE_KEYS), *series.odd(rule.get("expr"))]
            wrong += [f"{key}: {rule[key]} is no time" for key in ("for", "keep_firing_for") if key in rule and not DURATION.fullmatch(str(rule[key]))]
            if rule.get("alert"):
                wrong += [f"its annotations are {sorted(said)}" for said in [rule.get("annotations", {}).keys()] if said != {"summary", "description"}]
                wrong += [f"severity {severity}" for severity in [rule.get("labels", {}).get("severity")] if severity not in ("page", "ticket")]
            wrong += series.odd_labels(json.dumps(rule.get("annotations", {})), r"\$labels\.(\w+)")
            wrong += [f"unknown metric {odd}" for odd in [series.unnamed(json.dumps(rule))] if odd]
            yield from (f"{name}: {one}" for one in wrong)


def rule_tests(document, series, alerts):
    """What is wrong with promtool's tests of rules: it runs them, where it is."""
    yield from strange(document, {"rule_files", "evaluation_interval", "tests"})
    for test in document["tests"]:
        wrong = [*strange(test, {"name", "interval", "input_series", "alert_rule_test", "promql_expr_test"})]
        for one in test["input_series"]:
            wrong += [*strange(one, {"series", "values"}), *series.odd(one.get("series"))]
        for one in test["alert_rule_test"]:
            wrong += strange(one, {"eval_time", "alertname", "exp_alerts"})
            wrong += [] if one.get("alertname") in alerts else [f"there is no alert {one.get('alertname')}"]
            for expected in one.get("exp_alerts", []):
                wrong += [*strange(expected, {"exp_labels", "exp_annotations"}), *strange(expected.get("exp_annotations", {}), {"summary", "description"})]
                wrong += (f"no series has the label {label}" for label in expected.get("exp_labels", {}) if label not in series.labels | {"severity"})
        yield from (f"{test.get('name')}: {one}" for one in wrong)


def configuration(document):
    """What is wrong with a configuration, as far as its own keys tell."""
    yield from strange(document, CONFIGURATION[""])
    yield from strange(document.get("global", {}), CONFIGURATION["global"])
    for job in document["scrape_configs"]:
        yield from strange(job, CONFIGURATION["scrape_configs"])
        for targets in job.get("static_configs", []):
            yield from strange(targets, CONFIGURATION["static_configs"])
    if "resnetd" not in [job.get("job_name") for job in document["scrape_configs"]]:
        yield "no job is called resnetd, which rules and dashboard look for"


def dashboard(document, series):
    """What is wrong with a dashboard of Grafana's."""
    yield from strange(keys(document), GRAFANA)
    yield from (f"no {key}" for key in ("uid", "title", "panels", "templating", "annotations") if not document.get(key))
    panels = [inner for panel in document.get("panels", []) for inner in (panel, *panel.get("panels", []))]
    for note in document.get("annotations", {}).get("list", []):
        yield from (f"annotation {note.get('name')}: {one}" for one in series.odd(note.get("expr")))
    for panel in panels:
        wrong = []
        if panel.get("type") != "row" and not panel.get("targets"):
            wrong.append("it asks for nothing")
        for target in panel.get("targets", []):
            wrong += series.odd(target.get("expr"))
            wrong += series.odd_labels(target.get("legendFormat", ""), r"\{\{\s*(\w+)\s*\}\}")
        yield from (f"{panel.get('title')}: {one}" for one in wrong)
    numbers = [panel.get("id") for panel in panels]
    if None in numbers or len(set(numbers)) != len(numbers):
        yield "panels without an id of their own"
    for variable in document.get("templating", {}).get("list", []):
        for query in filter(None, [variable.get("definition"), variable["query"]["query"] if isinstance(variable.get("query"), dict) else None]):
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            wrong = [*series.odd(asked[1]), *series.odd_labels(asked[2], r"\w+")] if asked else [query]
            yield from (f"variable {variable.get('name')}: {one}" for one in wrong)
    if odd := series.unnamed(json.dumps(document)):
        yield f"unknown metric {odd}"
