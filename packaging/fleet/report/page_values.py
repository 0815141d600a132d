"""How the page shows one value: text that can hold any character, a time, a number, or what is not known."""

import datetime
import html
import json
import pathlib
import re
import unicodedata
import zoneinfo

ABOUT = json.loads((pathlib.Path(__file__).resolve().parent / "page.json").read_text(encoding="utf-8"))
LONGEST = 2048  # Characters of one text. No ARN is longer.
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
UNKNOWN = "<i>not known</i>"

# Characters without a visible form, apart from those whose category says so (Cc, Cf, Zs …): fillers and variation
# selectors.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def visible(text):
    """The text, with a number for each character that a reader cannot see or that changes the order of others."""

    def one(character):
        if character == "\\":
            return "\\\\"
        category = unicodedata.category(character)
        hidden = category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or category == "Zs" and character != " "
        if hidden or INVISIBLE.match(character) or ord(character) & 0xFFFE == 0xFFFE:
            return f"\\u{{{ord(character):x}}}"
        return character

    cut = "" if len(text) <= LONGEST else f"… (cut: {len(text):,} characters)"
    return "".join(map(one, text[:LONGEST])) + cut


def safe(text):
    """Text from the input as HTML text, also inside quotes of an attribute."""
    return html.escape(visible(str(text)), quote=True)


def many(count, one, more=None):
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def a_name(column):
    return ABOUT["columns"].get(column, [column.replace("_", " ")])[0]


class Clock:
    """Shows each instant in the one time zone of the page."""

    def __init__(self, zone):
        self.name, self.problem = "UTC", None
        self.zone = datetime.timezone.utc
        if isinstance(zone, str) and zone not in ("UTC", "Etc/UTC"):
            try:
                self.zone, self.name = zoneinfo.ZoneInfo(zone), zone
            except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
                self.problem = f"This machine has no data of the time zone {zone}. Times are in UTC."

    def instant(self, value):
        """An RFC 3339 time as (exact time in UTC, time in the zone). None if it is not one."""
        match = isinstance(value, str) and re.fullmatch(
            r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", value
        )
        if not match:
            return None
        day, time, _, offset = match.groups()
        try:
            exact = datetime.datetime.fromisoformat(f"{day}T{time}{'+00:00' if offset == 'Z' else offset}")
            local = exact.astimezone(self.zone)
            exact = exact.astimezone(datetime.timezone.utc)
        except (ValueError, OverflowError):
            return None
        shown = local.strftime("%H:%M:%S")
        # A local time that the clock shows twice, in autumn, needs its offset.
        if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
            minutes = int(local.utcoffset().total_seconds() // 60)
            shown += f" {'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
        return exact.replace(tzinfo=None).isoformat(timespec="seconds") + "Z", f"{local.date().isoformat()} {shown}"

    def show(self, value):
        read = self.instant(value)
        return f'<time datetime="{read[0]}">{read[1]}</time>' if read else f"<bdi>{safe(value)}</bdi>"


def duration(seconds):
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400:,} d {seconds % 86400 // 3600} h"


def value(column, kind, given, clock):
    """A value of a row as HTML."""
    if given is None:
        about = ABOUT["columns"].get(column, [])
        return f"<i>{about[2]}</i>" if len(about) > 2 else UNKNOWN
    if kind == "boolean" and isinstance(given, bool):
        return f"<span>{'yes' if given else 'no'}</span>"
    if kind == "integer" and isinstance(given, int) and not isinstance(given, bool):
        shown = f"{given:,}"
        if column == "seconds" and given >= 0:
            shown = duration(given)
        elif column == "weekday" and 1 <= given <= 7:
            shown = WEEKDAYS[given - 1]
        elif column == "days_observed" and given == 0:
            shown = "0: nothing is known"
        return f'<data value="{given}">{shown}</data>'
    if kind == "instant":
        return clock.show(given)
    return f"<bdi>{safe(given if isinstance(given, str) else json.dumps(given))}</bdi>"
