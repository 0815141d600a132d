"""The report on hand-made buckets with one fault each: wrong clocks, forged lines and damaged files."""

import datetime
import gzip
import json
import os
import pathlib
import shutil
import subprocess
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

    def run_program(self, name, *options):
        command = [sys.executable, engines.FOLDER / name, self.bucket, "--from", f"{START:%F}", "--to", f"{END:%F}", *options]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(self.work)})


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


class Forgers(Case):
    """An instance writes lines in the name of another one."""

    def setUp(self):
        super().setUp()
        self.export("2026-10-10", A, session(A, "1", "2026-10-10T11:00:00Z", [push("r1")], "2026-10-10T12:00:00Z", user="root"),
                    coverage(A, "2026-10-10T12:00:00Z"))
        self.trail(record("r1", A, "2026-10-10T10:59:50Z", "root"))
        self.forged = [
            # The event of the other instance, but newer, with more pushes and another user.
            session(A, "1", "2026-10-10T11:00:00Z", [push("r2"), push("r3")], "2026-10-10T13:00:00Z", user="nobody"),
            {**session(A, "2", "2026-10-10T11:00:00Z", [], "2026-10-10T13:00:00Z"), "kind": "unused"},
            {**session(A, "3", "2026-10-10T11:00:00Z", [], "2026-10-10T13:00:00Z"), "kind": "refusal"},
            coverage(A, "2026-10-10T13:00:00Z", covered_from="2026-10-10T12:59:00Z"),
        ]

    def check(self, machine, forged):
        self.export("2026-10-11", machine, *self.forged, coverage(B, "2026-10-10T13:00:00Z"))
        logins, missing, found = self.report("logins", "pushes_without_login", "coverage")
        self.assertEqual([(row["user"], row["request_id"], row["cloudtrail"]) for row in logins if row["instance_id"] == A],
                         [("root", "r1", "found")])
        self.assertEqual(missing, [])
        exports = self.fleet.base.execute(f"SELECT covered_to FROM exports WHERE instance_id = '{A}'").fetchall()
        self.assertEqual(exports, [(datetime.datetime(2026, 10, 10, 12),)])
        counts = [(row["count"], row["file"] and row["file"].split("/")[-1]) for row in found
                  if row["finding"] == "lines that name another instance than their file"]
        self.assertEqual(counts, [(forged, None), (forged, f"{ACCOUNT}_{REGION}_{machine}_120000Z.jsonl.gz")])

    def test_file_of_an_instance_cannot_hide_the_login_of_another_one(self):
        self.check(B, 4)

    def test_file_without_an_instance_cannot_hide_the_login_of_one(self):
        self.check("boot-" + "cd" * 16, 5)

    def test_page_says_that_lines_name_another_instance(self):
        self.export("2026-10-11", B, *self.forged, coverage(B, "2026-10-10T13:00:00Z"))
        ran = self.run_program("report", "--out", self.work / "r.json")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        page = subprocess.run([sys.executable, engines.FOLDER / "page", self.work / "r.json"], check=True, capture_output=True, text=True)
        self.assertIn("<bdi>lines that name another instance than their file</bdi>: 4", page.stdout.partition("</section>")[0])

    def test_report_of_doctor_in_the_name_of_another_instance_is_counted(self):
        name = f"{ACCOUNT}_{REGION}_{B}_120000Z.json.gz"
        self.put(f"exports/doctor/day=2026-10-10/{name}", {"schema_version": 2, "version": "1.0", "at": "2026-10-10T12:00:00Z",
                 "instance": {"instance_id": "i-0cccccccccccccccc", "account": ACCOUNT, "region": REGION}})
        silent, found = self.report("silent_instances", "coverage")
        self.assertIn((B, "doctor reports, but no export came"), [(row["instance_id"], row["why"]) for row in silent])
        self.assertNotIn("i-0cccccccccccccccc", [row["instance_id"] for row in silent])
        self.assertIn(("doctor", "reports that name another instance than their file", 1, None, f"exports/doctor/day=2026-10-10/{name}"),
                      [tuple(row.values()) for row in found])


class Requests(Case):
    def test_login_has_the_record_of_its_own_instance_user_and_principal_only(self):
        at = "2026-10-10T11:00:00Z"
        nobody = "the login names no instance, user or principal"
        # Each login names the request id of the same record.
        cases = [
            (A, {}, push("r1"), "found"),
            (A, {"user": "root"}, push("r1"), "record of another user"),
            (A, {"user": None}, push("r1"), nobody),
            (A, {}, push("r1", PRINCIPAL + "x"), "record of another principal"),
            (A, {}, push("r1", None), nobody),
            (A, {}, {"request_id": "r1", "verified": "true"}, nobody),
            (B, {}, push("r1"), "record of another instance"),
            (None, {}, push("r1"), nobody),
            (A, {}, push("r2"), "record of another instance"),
            (A, {}, push("r3"), "no record"),
        ]
        for instance in (A, B, None):
            self.export("2026-10-10", instance or "boot-" + "cd" * 16, coverage(instance, "2026-10-10T12:00:00Z"), *(
                session(other, str(place), at, [key], "2026-10-10T12:00:00Z", **more)
                for place, (other, more, key, _) in enumerate(cases) if other == instance))
        self.trail(record("r1", A, "2026-10-10T10:59:50Z"), record("r2", None, "2026-10-10T10:59:50Z"))
        logins, missing = self.report("logins", "logins_without_push")
        found = lambda said: (True, "203.0.113.9") if said == "found" else (None, None)
        self.assertEqual(sorted(((row["cloudtrail"], row["mfa"], row["cloudtrail_address"]) for row in logins), key=str),
                         sorted(((said, *found(said)) for _, _, _, said in cases), key=str))
        self.assertEqual(len(missing), len(cases) - 1)


class Damaged(Case):
    """One bad object of the bucket does not end the report, and the coverage names it."""

    def setUp(self):
        super().setUp()
        self.export("2026-10-10", A, session(A, "1", "2026-10-10T11:00:00Z", [push("r1")], "2026-10-10T12:00:00Z"),
                    coverage(A, "2026-10-10T12:00:00Z"))

    def check(self, *paths):
        for options in ((), ("--memory", "500MB")):
            out = self.work / "r.json"
            ran = self.run_program("report", "--out", out, *options)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            results = {one["name"]: one["rows"] for one in json.loads(out.read_text())["results"]}
            self.assertEqual(len(results["logins"]), 1)
            self.assertEqual(sorted(row[4] for row in results["coverage"] if row[0] == "files"),
                             sorted(str(self.bucket / path) for path in paths))

    def test_file_that_is_no_gzip_in_a_bucket_without_other_kinds(self):
        path = "exports/sessions/day=2026-10-10/x.jsonl.gz"
        (self.bucket / path).write_bytes(b"\x1f\x8b\x08garbage")
        self.check(path)

    def test_damaged_file_of_each_kind(self):
        paths = ["exports/doctor/day=2026-10-10/x.json.gz", "exports/permissions/day=2026-10-10/x.jsonl.gz",
                 f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/10/10/x.json.gz"]
        for path in paths:
            (self.bucket / path).parent.mkdir(parents=True)
            (self.bucket / path).write_bytes(b"\x1f\x8b\x08garbage")
        self.check(*paths)

    def test_entries_that_are_no_files(self):
        paths = [f"exports/sessions/day=2026-10-10/{name}" for name in ("dir.json", "dir.jsonl.gz", "link.json", "pipe.json")]
        for path in paths[:2]:
            (self.bucket / path).mkdir()
        (self.bucket / paths[2]).symlink_to("nowhere")
        os.mkfifo(self.bucket / paths[3])
        self.check(*paths)

    def test_name_that_is_not_utf_8(self):
        path = os.fsencode(self.bucket) + b"/exports/sessions/day=2026-10-10/\xff.json"
        with open(path, "wb") as file:
            file.write(b"{}\n")
        self.check("exports/sessions/day=2026-10-10/\udcff.json")

    def test_lack_of_memory_is_not_a_damaged_file(self):
        for number in range(3):
            lines = [session(B, f"{number}-{one}", "2026-10-10T11:00:00Z", [], "2026-10-10T12:00:00Z") for one in range(20000)]
            self.put(f"exports/sessions/day=2026-10-10/{ACCOUNT}_{REGION}_{B}_13000{number}Z.jsonl.gz", *lines)
        ran = self.run_program("report", "--out", self.work / "r.json", "--memory", "10MB")
        self.assertEqual(ran.returncode, 2, ran.stderr)
        self.assertIn("report: DuckDB has not enough memory (10MB)", ran.stderr)
        self.assertFalse((self.work / "r.json").exists())


if __name__ == "__main__":
    unittest.main()
