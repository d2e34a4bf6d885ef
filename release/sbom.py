#!/usr/bin/env python3
"""The bill of materials of the binary and of what it loads, as CycloneDX 1.6 in JSON.

    python3 release/sbom.py [--target TRIPLE] [--openvino] [--output FILE] [--schema DIR]
    python3 release/sbom.py --from DIR [--openvino] [--output FILE]

What is in it: every crate that the binary for TRIPLE (this machine's) is compiled from, with licence, checksum and who needs whom; crates that
only the build runs, marked `excluded`; ONNX Runtime by the wheel that runtime/onnxruntime.txt pins, with --openvino its plugin as well; the
built-in model. What is not: the C library and the base image.

It comes from Cargo.lock, `cargo metadata` (licences) and `cargo tree` (what the features in force really need), and from the same commit it is the same
to the last byte. --from DIR: what cargo said lies there, as the Dockerfile puts it.
--schema DIR: hold it to the schema (bom-1.6.schema.json, spdx.schema.json, jsf-0.82.schema.json of github.com/CycloneDX/specification), which needs
the Python package `jsonschema`. Needs Python 3.11 and cargo, nothing else.
"""
import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODEL = ROOT / "models/resnet20-cifar10"
# Crates that only the build runs, and whose content is in the binary all the same.
PACKED = {"utoipa-swagger-ui-vendored"}
LIBRARIES = {
    "onnxruntime": {"license": "MIT", "url": "https://github.com/microsoft/onnxruntime", "what": "The library that executes the networks, loaded at run time"},
    "onnxruntime-ep-openvino": {"license": "Apache-2.0", "url": "https://github.com/openvinotoolkit/openvino", "what": "A plugin of ONNX Runtime, loaded at run time"},
}


class BillError(Exception):
    """One line that says what is wrong."""


def host():
    said = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^host: (\S+)$", said, re.MULTILINE)[1]


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise BillError(f"cargo {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def asked(target):
    """What cargo says of a target, under the names that --from knows."""
    tree = ["tree", "--locked", "--target", target, "--prefix", "none", "--no-dedupe", "--edges"]
    return {
        "target": target,
        "metadata": cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target),
        "linked": cargo(*tree, "normal,no-proc-macro"),
        "built": cargo(*tree, "normal,build"),
    }


def listed(tree):
    """Names and versions of a tree without its branches."""
    return set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))


def needed(node):
    """What a package needs to be built or to run; not what only its tests do."""
    return [dependency["pkg"] for dependency in node["deps"] if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"])]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def expression(license):
    """SPDX, also where a crate still writes the slash."""
    return re.sub(r"\s*/\s*", " OR ", license)


def crate(package, checksums, scope):
    checksum = checksums.get((package["name"], package["version"]))
    if checksum is None:
        raise BillError(f"{package['name']} {package['version']} has no checksum in Cargo.lock")
    if not package["license"]:
        raise BillError(f"{package['name']} {package['version']} names no licence")
    component = {
        "type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"], "scope": scope,
        "hashes": [{"alg": "SHA-256", "content": checksum}],
        "licenses": [{"expression": expression(package["license"])}],
        "purl": purl(package),
    }
    repository = package["repository"]
    if repository and re.fullmatch(r"https?://\S+", repository):
        component["externalReferences"] = [{"type": "vcs", "url": repository}]
    return component


def wheels(file):
    """Name, version and hashes of what a requirements file pins."""
    text = (ROOT / "runtime" / file).read_text().replace("\\\n", " ")
    [(name, version)] = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)
    return name, version, re.findall(r"--hash=sha256:([0-9a-f]{64})", text)


def library(file):
    name, version, hashes = wheels(file)
    known = LIBRARIES[name]
    reference = f"pkg:pypi/{name}@{version}"
    return {
        "type": "library", "bom-ref": reference, "name": name, "version": version, "description": known["what"], "scope": "required",
        # One wheel an architecture; whichever is fetched has one of these.
        "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
        "licenses": [{"expression": known["license"]}],
        "purl": reference,
        "externalReferences": [{"type": "vcs", "url": known["url"]}],
    }


def model():
    graph = (MODEL / "1/model.onnx").read_bytes()
    return {
        "type": "machine-learning-model", "bom-ref": "model:resnet20-cifar10", "name": "resnet20-cifar10", "version": "1",
        "description": "The built-in model, trained by this project on CIFAR-10", "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(graph).hexdigest()}],
        "licenses": [{"expression": "Apache-2.0"}],
    }


def bill(said, with_openvino):
    metadata = json.loads(said["metadata"])
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    linked, built = listed(said["linked"]), listed(said["built"])
    of = lambda package: (packages[package]["name"], packages[package]["version"])
    everything = {package for package in packages if of(package) in built}
    if len(everything) != len(built):
        raise BillError(f"cargo tree and cargo metadata do not know the same crates: {built - {of(package) for package in everything}}")
    is_in = lambda package: of(package) in linked or packages[package]["name"] in PACKED
    components = [crate(packages[package], checksums, "required" if is_in(package) else "excluded") for package in everything if package != root]
    libraries = [library("onnxruntime.txt")] + ([library("openvino.txt")] if with_openvino else [])
    components += [*libraries, model()]
    components.sort(key=lambda component: component["bom-ref"])
    own = purl(packages[root])
    needs = {purl(packages[package]): sorted({purl(packages[dependency]) for dependency in needed(nodes[package]) if dependency in everything})
             for package in everything}
    needs[own] = sorted([*needs[own], *(one["bom-ref"] for one in libraries), "model:resnet20-cifar10"])
    needs |= {one["bom-ref"]: [] for one in [*libraries, model()]}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "application", "bom-ref": own, "name": "resnetd", "version": packages[root]["version"],
                "description": packages[root]["description"], "licenses": [{"expression": "Apache-2.0"}], "purl": own,
                "externalReferences": [{"type": "vcs", "url": packages[root]["repository"]}],
            },
            "properties": [{"name": "resnetd:target", "value": said["target"].strip()}],
        },
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": needs[reference]} for reference in sorted(needs)],
    }
    # Of its content, so that the same bill has the same number.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'https://github.com/resnetd/resnetd/sbom/' + digest)}"
    return document


def check_whole(document):
    """What a schema does not say: every reference is there, once."""
    references = [document["metadata"]["component"]["bom-ref"], *(component["bom-ref"] for component in document["components"])]
    if len(set(references)) != len(references):
        raise BillError("a component is there twice")
    told = {dependency["ref"] for dependency in document["dependencies"]}
    needed = {reference for dependency in document["dependencies"] for reference in dependency["dependsOn"]}
    if told != set(references) or not needed <= told:
        raise BillError(f"references without a component: {sorted((told | needed) ^ set(references))}")
    orphans = set(references) - needed - {references[0]}
    if orphans:
        raise BillError(f"nobody needs {sorted(orphans)}")


def check_schema(document, folder):
    import jsonschema
    import referencing

    read = lambda name: json.loads((folder / name).read_text())
    names = ["spdx.schema.json", "jsf-0.82.schema.json"]
    registry = referencing.Registry().with_resources(
        (f"http://cyclonedx.org/schema/{name}", referencing.Resource.from_contents(read(name))) for name in names)
    schema = read("bom-1.6.schema.json")
    jsonschema.Draft7Validator.check_schema(schema)
    wrong = list(jsonschema.Draft7Validator(schema, registry=registry, format_checker=jsonschema.FormatChecker()).iter_errors(document))
    if wrong:
        raise BillError("; ".join(f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in wrong[:10]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target")
    parser.add_argument("--from", dest="source", type=pathlib.Path)
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--schema", type=pathlib.Path)
    options = parser.parse_args()
    try:
        if options.source:
            said = {name: (options.source / name).read_text() for name in ("target", "metadata", "linked", "built")}
        else:
            said = asked(options.target or host())
        document = bill(said, options.openvino)
        check_whole(document)
        if options.schema:
            check_schema(document, options.schema)
    except BillError as error:
        sys.exit(f"error: {error}")
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)
    else:
        sys.stdout.write(text)
    counts = [sum(component.get("scope") == scope for component in document["components"]) for scope in ("required", "excluded")]
    print(f"{counts[0]} components in or beside the binary, {counts[1]} that only its build runs", file=sys.stderr)


if __name__ == "__main__":
    main()
