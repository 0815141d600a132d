"""The report on hand-made buckets with one fault each: wrong clocks, forged lines and damaged files."""

import datetime
import gzip
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import engines  # noqa: E402
import sqltext  # noqa: E402

ACCOUNT, REGION = "123456789012", "us-east-1"
A, B = "i-0aaaaaaaaaaaaaaaa", "i-0bbbbbbbbbbbbbbbb"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/Ops/alice"
START, END = datetime.datetime(2026, 10, 1), datetime.datetime(2026, 11, 1)


def head(instance, exported_at, number, kind, name):
    return {"schema_version": 1, "kind": kind, "id": name, "final": True, "agent_version": "1.0", "export_state": f"state-{instance}",
            "export_number": number, "exported_at": exported_at, "instance_id": instance, "account": ACCOUNT, "region": REGION,
            "boot_id": "ab" * 16}


def coverage(instance, exported_at, number=1, covered_from="2026-09-01T00:00:00Z", **others):
    return {**head(instance, exported_at, number, "coverage", f"c-{instance}-{number}"), "covered_from": covered_from,
            "covered_to": exported_at, "complete": True, "all_logins": True, "not_known": None, "gaps": [], **others}


def push(request, principal=PRINCIPAL):
    return {"principal": principal, "account": ACCOUNT, "request_id": request, "verified": "true"}


def session(instance, name, start, pushes, exported_at, **others):
    return {**head(instance, exported_at, 1, "session", name), "start": start, "end": start, "state": "closed", "seconds": 0,
            "user": "ec2-user", "method": "publickey", "address": "198.51.100.7", "fingerprint": "SHA256:x", "attributed": True,
            "pushes": pushes, **others}


def record(request, instance, at, user="ec2-user"):
    return {"eventID": f"e-{request}", "eventName": "SendSSHPublicKey", "eventSource": "ec2-instance-connect.amazonaws.com",
            "eventTime": at, "awsRegion": REGION, "recipientAccountId": ACCOUNT, "sourceIPAddress": "203.0.113.9",
            "requestID": request, "requestParameters": {"instanceId": instance, "osUser": user},
            "userIdentity": {"arn": PRINCIPAL, "accountId": ACCOUNT,
                             "sessionContext": {"attributes": {"mfaAuthenticated": "true"}}}}


class Case(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-test-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.bucket = self.work / "bucket"

    def put(self, path, *lines):
        file = self.bucket / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))

    def export(self, day, machine, *lines):
        self.put(f"exports/sessions/day={day}/{ACCOUNT}_{REGION}_{machine}_120000Z.jsonl.gz", *lines)

    def trail(self, *records):
        self.put(f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/10/10/x.json.gz", {"Records": records})

    def report(self, *names, now=END + datetime.timedelta(days=90)):
        """The rows of these queries, each as a dictionary."""
        engine = engines.DuckDB(self.bucket, sqltext.parameters(START, END, now), tempfile.mkdtemp(dir=self.work))
        self.fleet = engine.fleet
        texts = sqltext.queries()
        return [[dict(zip((column for column, _ in sqltext.about(texts[name])[2]), row)) for row in engine.run(name)]
                for name in names]


class Clocks(Case):
    def silent(self, last, now):
        for day in ("2026-10-30", last):
            self.export(day, A, coverage(A, f"{day}T12:00:00Z"))
        (rows,) = self.report("silent_instances", now=now)
        return [(row["hours_silent"], row["why"]) for row in rows]

    def test_instance_that_still_exports_is_not_silent_in_a_period_of_the_past(self):
        self.assertEqual(self.silent("2026-11-03", END + datetime.timedelta(days=90)), [])

    def test_export_of_the_future_is_from_a_wrong_clock(self):
        ahead = [(None, "the clock is ahead: nobody knows when it exported")]
        self.assertEqual(self.silent("2026-11-03", datetime.datetime(2026, 10, 31)), ahead)
        # The file is in the folder of its own day. This says when the export really came.
        self.export("2026-10-31", A, coverage(A, "2026-12-01T00:00:00Z", 2))
        self.assertEqual(self.silent("2026-11-01", END + datetime.timedelta(days=90)), ahead)


if __name__ == "__main__":
    unittest.main()
