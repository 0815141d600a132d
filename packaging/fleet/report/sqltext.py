"""The SQL of the fleet report: one text for all engines, in Athena's dialect.

A query reads steps, and a step reads the views of `tables/ENGINE.sql`. `${name}` in a text is a parameter.
"""

import datetime
import pathlib
import re
import zoneinfo

FOLDER = pathlib.Path(__file__).resolve().parent
ENGINES = ("athena", "duckdb", "spark")
NAME = re.compile(r"[^\W\d]\w*")


class Wrong(Exception):
    """A value that the operator must change."""


def steps():
    """Names and texts of the steps, in the order in which they build on each other."""
    files = sorted((FOLDER / "steps").glob("*.sql"), key=lambda file: int(file.name.partition("_")[0]))
    return {file.stem.partition("_")[2]: file.read_text() for file in files}


def queries():
    """Names and texts of the queries, in the order of the report."""
    order = ["logins", "outside_hours", "hours", "refusals", "refusals_by_day", "other_means", "pushes_without_login",
             "logins_without_push", "silent_instances", "log_gaps", "unused_permissions", "coverage"]
    return {name: (FOLDER / "queries" / f"{name}.sql").read_text() for name in order}


def about(text):
    """Title, explanation and columns in the first lines of a query."""
    found = dict(re.findall(r"^-- (title|explains|columns): (.*)$", text, re.M))
    columns = [tuple(column.rsplit(" ", 1)) for column in found["columns"].split(", ")]
    return found["title"], found["explains"], columns


def without_comments(text):
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()


def statements(engine):
    """The statements of the engine's table definitions."""
    text = without_comments((FOLDER / "tables" / f"{engine}.sql").read_text())
    return [part.strip().rstrip(";") for part in text.split(";\n")]


def filled(text, values):
    """Puts the parameters into a text. Athena's own `${day}` and so on stay."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def parameters(start, end, as_of, zone="UTC", office=(8, 18), days=(1, 5), silent_after=26, early_days=2, late_days=2, known_days=90):
    """The parameters of a period, as SQL. Instants are naive and in UTC."""
    if not start < end:
        raise Wrong("the period is empty: --from must be before --to")
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong(f"unknown time zone {zone!r}: use a name such as Europe/Berlin") from None
    if not (re.fullmatch(r"[A-Za-z0-9_+/-]+", zone) and 0 <= office[0] < office[1] <= 24 and 1 <= days[0] <= days[1] <= 7):
        raise Wrong("wrong time zone, office hours (0-24) or office days (1-7)")
    day = datetime.timedelta(days=1)
    instant = lambda at: f"TIMESTAMP '{at:%Y-%m-%d %H:%M:%S}'"
    return {
        "from": instant(start), "to": instant(end), "as_of": instant(min(as_of, end)),
        # No export that is read can be newer: it would be in the future, or in the folder of a later day.
        "read_to": instant(min(as_of, end + (late_days + 1) * day)),
        # A line comes at the day of its upload. A session that was open has its last line days later. The exports of the
        # days before show whether the first one of the period is complete.
        "first_day": f"'{start - early_days * day:%Y-%m-%d}'", "last_day": f"'{end + late_days * day:%Y-%m-%d}'",
        "known_day": f"'{start - known_days * day:%Y-%m-%d}'",
        "first_trail_day": f"'{start - day:%Y/%m/%d}'", "last_trail_day": f"'{end + day:%Y/%m/%d}'",
        "time_zone": f"'{zone}'", "office_from": str(int(office[0])), "office_to": str(int(office[1])),
        "office_first_day": str(int(days[0])), "office_last_day": str(int(days[1])),
        "silent_after": str(int(silent_after)),
    }


def rolling(days=30, **others):
    """Parameters for a stored query: the whole UTC days before the one on which it runs."""
    now = datetime.datetime(2000, 1, 2)
    values = parameters(now - datetime.timedelta(days=1), now, now, **others)
    midnight = "CAST(date_trunc('day', current_timestamp AT TIME ZONE 'UTC') AS timestamp)"
    ago = lambda count, form: f"date_format(current_timestamp - INTERVAL '{count}' DAY, '{form}')"
    values |= {
        "from": f"({midnight} - INTERVAL '{int(days)}' DAY)", "to": midnight, "as_of": midnight,
        "read_to": "CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp)",
        "first_day": ago(int(days) + 2, "%Y-%m-%d"), "last_day": ago(0, "%Y-%m-%d"), "known_day": ago(int(days) + 90, "%Y-%m-%d"),
        "first_trail_day": ago(int(days) + 1, "%Y/%m/%d"), "last_trail_day": ago(0, "%Y/%m/%d"),
    }
    return values


def athena_views():
    """The views of the lines for Athena. The other statements create its tables."""
    found = (re.fullmatch(r"CREATE VIEW (\w+) AS\n(.*)", text, re.S) for text in statements("athena"))
    return {match[1]: match[2] for match in found if match}


def athena_tables():
    """The statements that create Athena's tables."""
    return [text for text in statements("athena") if text.startswith("CREATE EXTERNAL TABLE")]


def whole(name, values):
    """A query for Athena that needs only the tables: what it reads is in its WITH."""
    parts = {**athena_views(), **{step: without_comments(text) for step, text in steps().items()}}
    text = without_comments(queries()[name])
    needed, waiting = set(), [text]
    while waiting:
        for part in set(NAME.findall(waiting.pop())) & set(parts) - needed:
            needed.add(part)
            waiting.append(parts[part])
    with_ = ",\n".join(f"{part} AS (\n{body}\n)" for part, body in parts.items() if part in needed)
    if text.startswith("WITH "):
        with_, text = f"{with_},\n{text[5:].partition(chr(10))[0]}", text.partition("\n")[2]
    return filled(f"WITH {with_}\n{text}", values)
