"""Judges events, a JSON object a line, by the schema of the Open Cybersecurity Schema Framework that they say they follow.

Usage: ocsf.py FILE. The schema is the published one of that version, as PyPI ocsf-json-schema brings it along and makes
JSON Schema of it (of a class, with the profiles that the event names), and PyPI jsonschema judges. Prints one JSON object:
how many events there are of each class, and what is wrong with which line. This ends with a status other than 0 only if
nothing could be judged.
"""

import functools
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


@functools.cache
def schema(version: str) -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))


@functools.cache
def validator(version: str, class_uid: int, profiles: tuple[str, ...]) -> Draft202012Validator:
    name = schema(version).lookup_class_name_from_uid(class_uid)
    of_class = schema(version).get_class_schema(name, list(profiles))
    Draft202012Validator.check_schema(of_class)
    return Draft202012Validator(of_class)


def faults(event: dict) -> list[str]:
    metadata = event.get("metadata", {})
    version, class_uid = metadata.get("version"), event.get("class_uid")
    if version is None or class_uid is None:
        return ["it says no version or no class"]
    judge = validator(version, class_uid, tuple(metadata.get("profiles", [])))
    return [f"{error.json_path}: {error.message}" for error in judge.iter_errors(event)]


def main() -> None:
    classes: dict[str, int] = {}
    found = []
    with open(sys.argv[1], encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            event = json.loads(line)
            name = f"{event.get('class_uid')} {event.get('class_name')}"
            classes[name] = classes.get(name, 0) + 1
            found += [{"line": number, "what": what} for what in faults(event)]
    print(json.dumps({"classes": classes, "faults": found}))


main()
