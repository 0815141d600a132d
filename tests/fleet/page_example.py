"""Results of a fleet for the tests of the page: the shape that `report` prints, with made-up values."""

import datetime
import random

BEGIN = datetime.datetime(2026, 10, 1)
LOGIN = [
    ("start", "instant"),
    ("end", "instant"),
    ("seconds", "integer"),
    ("user", "text"),
    ("instance_id", "text"),
    ("account", "text"),
    ("region", "text"),
    ("principal", "text"),
    ("principal_account", "text"),
    ("mfa", "boolean"),
    ("cloudtrail_address", "text"),
    ("sshd_address", "text"),
    ("request_id", "text"),
    ("fingerprint", "text"),
    ("verified", "boolean"),
    ("cloudtrail", "text"),
]
REASONS = [
    "denied-by-rule",
    "outside-hours",
    "expired",
    "metadata-throttled",
    "staple-stale",
    "push-too-old",
    "wrong-instance",
    "denied-by-default",
    "metadata-timeout",
    "options-expired",
    "bad-signature",
    "line-too-long",
    "no-key",
    None,
]

ROLES = ["Admin", "BreakGlass", "Operator"]

# Texts that a principal, a login name or a reason can hold: each attacks the page in its own way.
HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=document.title='owned'>",
    "\"><svg onload=document.title='owned'>",
    "' onmouseover='document.title=1' x='",
    "</td></tr></table><h1>owned</h1>",
    "</style><style>*{display:none}</style>",
    "--><!-- &lt;b&gt; &amp; <![CDATA[ ]]>",
    "\u202egnp.exe\u2066 \u200f\u061c",
    "\x00\x01\x1b[31m\x7f\x85\r\n\t",
    "\ud800 \udfff",
    "a\u0301" * 40 + "\u0300" * 200,
    "W" * 2048,
    "מנהל/مدير",
    "\ufeff\u200b\u00ad\u2028\u2029\u3164\ufdd0\uffff",
    "  two  spaces  ",
    "\\u{202e} ${x} $style_hash $$ {{x}} %s",
    "javascript:alert(1)",
    "https://example.com/?a=1&copy=2",
    "x" * 9000,
    "\U0001f469\u200d\U0001f4bb e\u0301",
]


def instant(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def result(name, columns, rows, total=None, truncated=False):
    return {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "explains": f"The rows of {name}.",
        "columns": [{"name": column, "type": kind} for column, kind in columns],
        "rows": rows,
        "truncated": truncated,
        "total": len(rows) if total is None and not truncated else total,
    }


def example(hostile=None, days=30, whole=False, logins=60):
    """A document. With `hostile`, its texts come from that list. With `whole`, nothing is missing from the coverage.

    The texts of `hostile` follow each other in the cells.
    """
    chance = random.Random(7)
    names = iter(range(10**9))

    def text(harmless):
        return hostile[next(names) % len(hostile)] if hostile else harmless

    def instance(number):
        return f"i-{0x0a3b5c7d9e1f2a4b0 + number * 7919:017x}"

    def principal(number):
        user = ["bob", "carol@example.com", "deploy", "dave", "operations-on-call"][number % 5]
        return (
            f"arn:aws:sts::{210987654321 + number % 3}:assumed-role/{ROLES[number % 3]}/{user}"
            if number % 4
            else f"arn:aws:iam::210987654321:user/{user}"
        )

    def login(number):
        start = BEGIN + datetime.timedelta(minutes=number * 127 + chance.randrange(90))
        seconds = None if number % 9 == 0 else chance.choice([41, 380, 4100, 30000, 200000])
        address = f"198.51.100.{chance.randrange(250)}"
        return [
            instant(start),
            instant(start + datetime.timedelta(seconds=seconds)) if seconds else None,
            seconds,
            text("ec2-user"),
            text(instance(number % 40)),
            "123456789012",
            "eu-central-1",
            text(principal(number)),
            str(210987654321 + number % 3),
            [True, False, None][number % 3],
            address if number % 5 else None,
            address if number % 7 else "10.0.3.17",
            text(f"6e66016e-eb45-49be-8c4d-{number:012x}"),
            "SHA256:x/uJxPvqPRVtc3fb+/KucbxqT5Y5b2jvlpu70ek0Lmo",
            number % 6 != 0,
            text("found"),
        ]

    hours = [
        [weekday, hour, int(chance.gauss(900, 200) if 8 <= hour < 18 and weekday < 6 else chance.gauss(30, 15)) + 40]
        for weekday in range(1, 8)
        for hour in range(24)
        if hour not in (2, 3)
    ]
    by_day = []
    for day in range(days):
        for number, reason in enumerate(REASONS):
            count = int(chance.expovariate(1) * 300 / (number + 1) ** 1.3)
            if count:
                shown = (BEGIN + datetime.timedelta(days=day)).strftime("%Y-%m-%d")
                by_day.append([shown, text(reason) if reason else None, count * (9 if (day, number) == (17, 1) else 1)])
    findings = [
        "files",
        "lines",
        "lines that cannot be read",
        "lines of older versions",
        "lines that repeat an event",
        "instances",
    ]
    counts = {"files": 12480, "lines": 1203344, "lines that repeat an event": 112, "instances": 10000}
    coverage = [["sessions", finding, counts.get(finding, 0), None, None] for finding in findings]
    coverage += [
        ["cloudtrail", "files", 812, None, None],
        ["cloudtrail", "records and files that cannot be read", 0, None, None],
    ]
    if not whole:
        file = "exports/sessions/day=2026-10-30/123456789012_eu-central-1_i-0a3b5c7d9e1f2a4b0_101502Z.jsonl.gz"
        coverage[2][2], coverage[3][2] = 1, 412
        coverage += [
            ["permissions", "lines", None, None, None],
            ["sessions", text("copied instance id: two machines use it"), 3, text(instance(3)), None],
            ["sessions", "lines that cannot be read", 1, text(instance(0)), text(file)],
        ]
    results = [
        result(
            "coverage",
            [("subject", "text"), ("finding", "text"), ("count", "integer"), ("instance_id", "text"), ("file", "text")],
            coverage,
        ),
        result(
            "silent_instances",
            [
                ("instance_id", "text"),
                ("account", "text"),
                ("region", "text"),
                ("last_export", "instant"),
                ("hours_silent", "integer"),
                ("why", "text"),
            ],
            (
                []
                if whole
                else [
                    [
                        text(instance(n)),
                        "123456789012",
                        "eu-central-1",
                        instant(BEGIN) if n % 3 else None,
                        713 if n % 3 else None,
                        text("no export since the restart"),
                    ]
                    for n in range(7)
                ]
            ),
        ),
        result(
            "log_gaps",
            [
                ("instance_id", "text"),
                ("account", "text"),
                ("from", "instant"),
                ("to", "instant"),
                ("why", "text"),
                ("exports", "integer"),
                ("hides_events", "boolean"),
            ],
            (
                []
                if whole
                else [
                    [
                        text(instance(n)),
                        "123456789012",
                        instant(BEGIN) if n else None,
                        instant(BEGIN + datetime.timedelta(hours=n + 1)),
                        text("rate-limit"),
                        2,
                        n != 2,
                    ]
                    for n in range(4)
                ]
            ),
        ),
        result("logins", LOGIN, [login(number) for number in range(logins)], total=154210, truncated=True),
        result("hours", [("weekday", "integer"), ("hour", "integer"), ("logins", "integer")], hours),
        result(
            "outside_hours",
            LOGIN[:-1] + [("weekday", "integer"), ("hour", "integer")],
            [login(number)[:-1] + [number % 7 + 1, 22] for number in range(11, 30)],
        ),
        result(
            "logins_without_push",
            LOGIN,
            [login(number)[:-1] + [text("unknown: no CloudTrail file of that hour")] for number in range(3)],
        ),
        result(
            "pushes_without_login",
            [
                ("pushed_at", "instant"),
                ("principal", "text"),
                ("principal_account", "text"),
                ("instance_id", "text"),
                ("user", "text"),
                ("request_id", "text"),
                ("cloudtrail_address", "text"),
                ("why", "text"),
            ],
            [
                [
                    instant(BEGIN + datetime.timedelta(hours=n * 5)),
                    text(principal(n)),
                    "210987654321",
                    text(instance(n)),
                    text("ec2-user"),
                    f"6e66016e-eb45-49be-8c4d-{n:012x}",
                    "203.0.113.9",
                    text(["refused", "unused", "no export covers it"][n % 3]),
                ]
                for n in range(31)
            ],
        ),
        result(
            "other_means",
            [
                ("start", "instant"),
                ("user", "text"),
                ("method", "text"),
                ("instance_id", "text"),
                ("account", "text"),
                ("sshd_address", "text"),
                ("fingerprint", "text"),
                ("attributed", "boolean"),
            ],
            [],
        ),
        result(
            "refusals",
            [
                ("reason", "text"),
                ("attributed", "boolean"),
                ("count", "integer"),
                ("instances", "integer"),
                ("first", "instant"),
                ("last", "instant"),
            ],
            [
                [
                    text(reason) if reason else None,
                    [True, None, False][n % 3],
                    12000 // (n + 1),
                    310 // (n + 1),
                    instant(BEGIN),
                    instant(BEGIN + datetime.timedelta(days=29, hours=n)),
                ]
                for n, reason in enumerate(REASONS)
            ],
        ),
        result("refusals_by_day", [("day", "text"), ("reason", "text"), ("count", "integer")], by_day),
        result(
            "unused_permissions",
            [
                ("principal", "text"),
                ("principal_account", "text"),
                ("days_observed", "integer"),
            ],
            [[text(principal(n)), "210987654321", 30] for n in range(6)],
        ),
    ]
    return {
        "made_at": "2026-10-31T06:00:00Z",
        "engine": "DuckDB 1.4.1",
        "parameters": {
            "from": "2026-10-01T00:00:00Z",
            "to": "2026-10-31T00:00:00Z",
            "time_zone": "Europe/Berlin",
            "office_hours": [8, 18],
            "office_days": [1, 5],
            "silent_after_hours": 26,
        },
        "results": results,
    }
