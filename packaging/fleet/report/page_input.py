"""The input of the page: a check of its shape, and its results."""

import json
import re

from page_values import ABOUT, is_count

FEW = 10  # Rows that a table shows at first.
TYPES = ("text", "integer", "instant", "boolean")


class Unreadable(Exception):
    """The input is not what `report` writes."""


def expect(condition, message):
    if not condition:
        raise Unreadable(message)


def refuse_constant(name):
    raise Unreadable(f"the input is not JSON: {name} is no number")


def parse(data):
    """The document, after a check of every shape that the page relies on."""
    expect(data.strip(), "the input is empty. Did the program before it fail?")
    try:
        document = json.loads(data, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the input is not JSON: {error}") from error
    expect(isinstance(document, dict), "expected one JSON object")
    expect(isinstance(document.setdefault("parameters", {}), dict), "parameters: expected an object")
    expect(isinstance(document.get("results"), list), "results: expected a list")
    for number, result in enumerate(document["results"], 1):
        expect(isinstance(result, dict), f"result {number}: expected an object")
        name, columns, rows = result.get("name"), result.get("columns"), result.get("rows")
        expect(
            isinstance(name, str) and re.fullmatch("[a-z][a-z0-9_]{0,63}", name),
            f"result {number}: expected a name such as logins",
        )
        expect(isinstance(columns, list) and columns, f"{name}: expected columns")
        for column in columns:
            expect(
                isinstance(column, dict) and isinstance(column.get("name"), str) and column.get("type") in TYPES,
                f"{name}: expected a name and one of the types {', '.join(TYPES)} for each column",
            )
        expect(isinstance(rows, list), f"{name}: expected rows")
        for place, row in enumerate(rows, 1):
            expect(
                isinstance(row, list) and len(row) == len(columns),
                f"{name}: expected {len(columns)} values in row {place}",
            )
            expect(
                not any(isinstance(given, (list, dict)) for given in row),
                f"{name}: expected single values in row {place}",
            )
        names = [column["name"] for column in columns]
        expect(len(set(names)) == len(names), f"{name}: two columns have the same name")
    names = [result["name"] for result in document["results"]]
    expect(len(set(names)) == len(names), "two results have the same name")
    return document


class Result:
    """A result of the input, or one that the input does not have."""

    def __init__(self, name, given):
        about = ABOUT["results"].get(name, {})
        self.name, self.missing = name, given is None
        given = given or {}
        self.title = str(given.get("title") or about.get("title") or name)
        self.explains = str(given.get("explains") or about.get("explains") or "")
        self.counts, self.groups = about.get("counts", "rows"), about.get("groups", [])
        self.plain, self.few = about.get("plain", not self.groups), about.get("few", FEW)
        self.columns, self.rows = given.get("columns", []), given.get("rows", [])
        self.names = [column["name"] for column in self.columns]
        total = given.get("total")
        if not is_count(total) or total < len(self.rows) + bool(given.get("truncated")):
            total = None if given.get("truncated") else len(self.rows)
        # None: not known.
        self.total = None if self.missing else total

    def values(self, name):
        return [row[self.names.index(name)] for row in self.rows] if name in self.names else None
