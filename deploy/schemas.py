"""Whether a Kubernetes resource is what its kind's schema says, down to the last key. Knows no folder of deploy/."""
import pathlib

import yaml

try:
    import jsonschema
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None


class OnceEach(yaml.SafeLoader):
    """A key that stands twice is a mistake: the last one would win."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def once_each(pairs):
    """The same of JSON: `object_pairs_hook`."""
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"{key} stands twice")
        seen.add(key)
    return dict(pairs)


def strict_yaml(text):
    return list(yaml.load_all(text, OnceEach))


def closed(schema):
    """The same schema, in which objects have the properties that are named and no others; numbers that may be text stay so."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: value if key in ("enum", "default", "required") else closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        # Names of properties are no keywords of the schema.
        made["properties"] = {name: closed(value) for name, value in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    return made


class Kinds:
    """Schemas of Kubernetes' own kinds of one version, and of the CustomResourceDefinitions in a folder."""

    def __init__(self, folder, version):
        self.version, self.custom = version, {}
        self.folder = pathlib.Path(folder) if folder else None
        for file in sorted(self.folder.glob("*.yaml")) if self.folder else []:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            definition = yaml.load(file.read_text(), loader)
            for one in definition["spec"]["versions"]:
                kind = (f"{definition['spec']['group']}/{one['name']}", definition["spec"]["names"]["kind"])
                schema = closed(one["schema"]["openAPIV3Schema"])
                # Of metadata a definition only says that it is there: any kind of Kubernetes' own knows the rest.
                schema["properties"]["metadata"] = {"type": "object"}
                self.custom[kind] = schema

    def problem(self, document):
        """(what is wrong or nothing, what is missing to tell or nothing)."""
        if kubernetes_validate is None:
            return "", "kubernetes-validate is not installed"
        version, kind = document.get("apiVersion", ""), document.get("kind", "")
        if (version, kind) in self.custom:
            return self._custom(document, self.custom[version, kind]), ""
        group = version.split("/")[0]
        if "." in group and not group.endswith(".k8s.io"):
            if not self.custom:
                return "", "its schema is not here (--schemas or $CRD_SCHEMAS names the folder)"
            return f"there is no kind {kind} of {version} in {self.folder}", ""
        return self._own(document), ""

    def _own(self, document):
        try:
            kubernetes_validate.validate(document, self.version, strict=True)
        except kubernetes_validate.ValidationError as error:
            return f"{'.'.join(str(part) for part in error.path)}: {error.message[:300]}"
        except kubernetes_validate.SchemaNotFoundError as error:
            return error.message
        return ""

    def _custom(self, document, schema):
        metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document.get("metadata", {})}
        found = sorted(jsonschema.Draft7Validator(schema).iter_errors(document), key=lambda error: -len(error.path))
        if found:
            return f"{'.'.join(str(part) for part in found[0].path)}: {found[0].message[:300]}"
        return self._own(metadata)
