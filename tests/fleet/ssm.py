"""Command documents of Systems Manager: a strict check of schema 2.2, and the scripts that SSM Agent makes of a document.

The rules are those of "Data elements and parameters" and "Command document plugin reference" in the user guide of Systems
Manager. The check is stricter than AWS: our documents do not need the other forms."""

import json
import re

import jsonschema
import yaml

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["schemaVersion", "description", "parameters", "mainSteps"],
    "additionalProperties": False,
    "properties": {
        "schemaVersion": {"const": "2.2"},
        "description": {"type": "string", "minLength": 1},
        "parameters": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9]{0,63}$"},
            "additionalProperties": {
                "type": "object",
                # A pattern for every parameter: SSM Agent inserts the value into the script as text.
                "required": ["type", "description", "allowedPattern"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "String"},
                    "description": {"type": "string", "minLength": 1},
                    "default": {"type": "string"},
                    "allowedValues": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    "allowedPattern": {"type": "string", "pattern": r"^\^.*\$$"},
                },
            },
        },
        "mainSteps": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["action", "name", "precondition", "inputs"],
                "additionalProperties": False,
                "properties": {
                    "action": {"const": "aws:runShellScript"},
                    "name": {"type": "string", "pattern": "^[A-Za-z0-9]{1,64}$"},
                    "precondition": {
                        "type": "object",
                        "required": ["StringEquals"],
                        "additionalProperties": False,
                        "properties": {"StringEquals": {"const": ["platformType", "Linux"]}},
                    },
                    "inputs": {
                        "type": "object",
                        "required": ["runCommand", "timeoutSeconds"],
                        "additionalProperties": False,
                        "properties": {
                            "runCommand": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
                            "timeoutSeconds": {"type": "string", "pattern": "^[1-9][0-9]{0,5}$"},
                        },
                    },
                },
            },
        },
    },
}
MAX_DOCUMENT_BYTES = 64 * 1024
PLACE = re.compile(r"{{ *([^{} ]*) *}}")


class Refused(Exception):
    """Systems Manager refuses the value of a parameter."""


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def faults(document):
    """What Systems Manager, or our rules, do not accept in a document."""
    found = [f"{fault.json_path}: {fault.message}" for fault in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]
    if found:
        return found
    size = len(json.dumps(document).encode())
    if size > MAX_DOCUMENT_BYTES:
        found.append(f"expected at most {MAX_DOCUMENT_BYTES} bytes, got {size}")
    names = [step["name"] for step in document["mainSteps"]]
    if len(set(names)) != len(names):
        found.append(f"two steps have one name: {names}")
    text = "\n".join("\n".join(step["inputs"]["runCommand"]) for step in document["mainSteps"])
    used = set(PLACE.findall(text))
    found += [f"the script uses {{{{{name}}}}}, which is no parameter" for name in used - set(document["parameters"])]
    found += [f"no script uses the parameter {name}" for name in set(document["parameters"]) - used]
    if "{{" in PLACE.sub("", text) or "}}" in PLACE.sub("", text):
        found.append("the script has {{ or }} that is no parameter")
    for name, parameter in document["parameters"].items():
        # Each value is one word in quotes, so the shell reads it as text.
        for place in re.finditer(r".?{{ *" + name + r" *}}.?", text):
            if not re.fullmatch(r"'{{.*}}'", place[0]):
                found.append(f"expected '{{{{ {name} }}}}' in single quotes, got {place[0]}")
        for value in [*parameter.get("allowedValues", []), *([parameter["default"]] if "default" in parameter else [])]:
            if not accepts(parameter, value):
                found.append(f"{name}: its own value {value} does not match")
    return found


def accepts(parameter, value):
    """Whether Systems Manager accepts a value. `$` may match before a line break at the end, as in Java and Python."""
    values = parameter.get("allowedValues")
    return re.search(parameter["allowedPattern"], value) is not None and (values is None or value in values)


def scripts(document, values, platform="Linux", check=True):
    """The scripts that SSM Agent runs on a platform. `check=False` is an attacker who gets past the patterns."""
    for name in values:
        if name not in document["parameters"]:
            raise Refused(f"{name} is no parameter")
    filled = {}
    for name, parameter in document["parameters"].items():
        if name not in values and "default" not in parameter:
            raise Refused(f"{name} has no value")
        filled[name] = values.get(name, parameter.get("default"))
        if check and not accepts(parameter, filled[name]):
            raise Refused(f"{name}: {filled[name]!r}")
    return [
        PLACE.sub(lambda place: filled[place[1]], "\n".join(step["inputs"]["runCommand"]))
        for step in document["mainSteps"]
        if step["precondition"]["StringEquals"][1] == platform
    ]
