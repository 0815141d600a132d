"""Makes the bucket of a fleet, and the answers of the report. Only this program computes them, not SQL.

The files of a number of instances and days depend only on the seed. Some instances (see `KINDS`) have one of the faults
that real fleets have.
"""

import concurrent.futures
import datetime
import gzip
import hashlib
import json
import os

START = datetime.datetime(2026, 10, 1)
DAY = datetime.timedelta(days=1)
ACCOUNTS = [f"1000000000{number:02}" for number in range(10)]
REGIONS = ["us-east-1", "eu-central-1"]
# No CloudTrail file of this account has a record of these days.
DARK_ACCOUNT, DARK_DAYS = ACCOUNTS[9], (10, 11)
# The account of the callers is another one than that of the instance.
ABROAD, CALLERS = ACCOUNTS[3], ACCOUNTS[4]
GONE, LOST, GAP = 20, 12, 15
AT_ONCE = 250

# What IAM and STS take in names (letters, digits and +=,.@_-), in paths (all from ! to DEL), and what the type of an ARN
# in STS's API takes beyond them.
NAMES = ["alice", "bob+x=1,2.y@example.com_-", "deploy", "o'neil", 'q"uote,comma', "tab\there", "größe", "日本語", "😀",
         "back\\slash", "semi;colon", "%percent{}$`", "</td><script>alert(1)</script>", "e\u0301", "new\nline"]
REASONS = ["expired", "wrong-instance", "untrusted-signer", None]
# Instances with a fault, by their number modulo 50.
KINDS = {3: "forger", 7: "older", 11: "copied", 13: "clock", 17: "gone", 19: "never", 23: "doctor", 29: "unfinished",
         31: "gaps", 37: "lost", 41: "broken", 43: "newer", 47: "twice"}


def text(at):
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


class Answers:
    """The rows of each query: how many, their checksum, and the rows themselves if there are few."""

    def __init__(self, keep):
        self.keep, self.rows, self.count, self.sum = keep, {}, {}, {}
        self.hours, self.refusals, self.days, self.total, self.last = {}, {}, {}, {}, {}

    def add(self, query, *row):
        self.count[query] = self.count.get(query, 0) + 1
        self.sum[query] = self.sum.get(query, 0) + checksum(row)
        if self.keep:
            self.rows.setdefault(query, []).append(list(row))

    def tally(self, name, number=1):
        self.total[name] = self.total.get(name, 0) + number

    def merge(self, other):
        for own, theirs in ((self.count, other.count), (self.sum, other.sum), (self.hours, other.hours),
                            (self.days, other.days), (self.total, other.total)):
            for key, value in theirs.items():
                own[key] = own.get(key, 0) + value
        for key, at in other.last.items():
            self.last[key] = max(self.last.get(key, at), at)
        for key, rows in other.rows.items():
            self.rows.setdefault(key, []).extend(rows)
        for key, (count, instances, first, last) in other.refusals.items():
            seen = self.refusals.get(key, (0, set(), first, last))
            self.refusals[key] = (seen[0] + count, seen[1] | instances, min(seen[2], first), max(seen[3], last))


def checksum(row):
    values = ["\\N" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in row]
    return int(hashlib.md5("|".join(values).encode()).hexdigest()[:15], 16)


class Fleet:
    def __init__(self, folder, instances, days=30, seed=1, zone="Europe/Berlin", office=(8, 18), keep=True, scale=1.0):
        self.folder, self.instances, self.days, self.seed = folder, instances, days, seed
        self.zone, self.office, self.keep, self.scale = zone, office, keep, scale
        self.end = START + days * DAY

    def write(self, processes=2):
        """Writes all files, and returns the answers."""
        for name in ("exports/sessions", "exports/doctor", "exports/permissions"):
            for day in range(self.days + 1):
                os.makedirs(f"{self.folder}/{name}/day={START + day * DAY:%Y-%m-%d}", exist_ok=True)
        for account in ACCOUNTS:
            for region in REGIONS:
                for day in range(self.days + 1):
                    os.makedirs(self.trail_folder(account, region, START + day * DAY), exist_ok=True)
        answers = Answers(self.keep)
        with concurrent.futures.ProcessPoolExecutor(processes) as pool:
            for part in pool.map(self.part, range(0, self.instances, AT_ONCE)):
                answers.merge(part)
        self.permissions(answers)
        for key, (count, instances, first, last) in answers.refusals.items():
            answers.add("refusals", key[0], key[1], count, len(instances), text(first), text(last))
        for (weekday, hour), count in answers.hours.items():
            answers.add("hours", weekday, hour, count)
        for (day, reason), count in answers.days.items():
            answers.add("refusals_by_day", day, reason, count)
        return answers

    def part(self, first):
        from instance import Instance
        answers, trail = Answers(self.keep), {}
        for number in range(first, min(first + AT_ONCE, self.instances)):
            Instance(self, number, answers, trail).write()
        if first == 0:
            self.heartbeats(trail)
            answers.tally("trail unreadable")
        for (account, region, day), records in trail.items():
            body = json.dumps({"Records": records}, separators=(",", ":"))
            folder, name = self.trail_folder(account, region, day), f"{account}_CloudTrail_{region}_{day:%Y%m%d}T0000Z_{first}"
            store(f"{folder}/{name}.json.gz", body)
            answers.tally("trail files")
            answers.tally("records", len(records))
            if (account, region, day) == (ACCOUNTS[0], REGIONS[0], START):
                # The same file again, and one that is cut.
                store(f"{folder}/{name}-again.json.gz", body)
                answers.tally("trail files")
                answers.tally("records", len(records))
                if first == 0:
                    store(f"{folder}/{name}-cut.json.gz", body[:len(body) // 2])
                    answers.tally("trail files")
                    answers.tally("records")
        return answers

    def trail_folder(self, account, region, day):
        return f"{self.folder}/AWSLogs/{account}/CloudTrail/{region}/{day:%Y/%m/%d}"

    def is_dark(self, account, at):
        return account == DARK_ACCOUNT and (at - START).days in DARK_DAYS

    def heartbeats(self, trail):
        """Records of other services. They show that CloudTrail was on."""
        for account in ACCOUNTS:
            for region in REGIONS:
                for hour in range(self.days * 24):
                    at = START + datetime.timedelta(hours=hour)
                    if not self.is_dark(account, at):
                        key = (account, region, at.replace(hour=0))
                        trail.setdefault(key, []).append({
                            "eventVersion": "1.09", "eventTime": text(at), "eventSource": "s3.amazonaws.com",
                            "eventName": "ListBuckets", "awsRegion": region, "recipientAccountId": account,
                            "eventID": f"{account}{region}{hour}", "requestParameters": None,
                            "userIdentity": {"type": "AWSService", "invokedBy": "config.amazonaws.com"}})

    def permissions(self, answers):
        """Who may push: those who did, and one who never did."""
        lines = []
        for account in ACCOUNTS:
            days = self.days - (len([day for day in DARK_DAYS if day < self.days]) if account == DARK_ACCOUNT else 0)
            for role in ("Admin", "Never"):
                arn = f"arn:aws:iam::{account}:role/team/{role}"
                lines.append({"schema_version": 1, "principal": arn, "account": account, "decision": "allowed",
                              "action": "ec2-instance-connect:SendSSHPublicKey", "collected_at": text(self.end)})
                if role == "Never" or not answers.last.get(account):
                    answers.add("unused_permissions", arn, account, days)
            lines.append({**lines[-1], "principal": f"arn:aws:iam::{account}:role/Denied", "decision": "denied"})
        body = "".join(json.dumps(line) + "\n" for line in lines) + '{"principal":"arn:aws:iam::1:ro'
        store(f"{self.folder}/exports/permissions/day={self.end:%Y-%m-%d}/all.jsonl.gz", body)
        answers.tally("permissions", len(lines) + 1)


def store(path, body):
    with gzip.open(path, "wb", 1) as out:
        out.write(body.encode())
