"""The files of one instance of a generated fleet, and its part of the answers."""

import datetime
import json
import random
import zoneinfo

import generator
from generator import ABROAD, ACCOUNTS, CALLERS, DAY, GAP, GONE, KINDS, LOST, NAMES, REASONS, REGIONS, START, store, text

SECOND = datetime.timedelta(seconds=1)
YEAR = 365 * DAY


class Instance:
    def __init__(self, fleet, number, answers, trail):
        self.fleet, self.answers, self.trail = fleet, answers, trail
        self.random = random.Random(fleet.seed * 1_000_003 + number)
        self.number, self.kind = number, KINDS.get(number % 50)
        self.account, self.region = ACCOUNTS[number % 10], REGIONS[number % 2]
        self.caller_account = CALLERS if self.account == ABROAD else self.account
        self.id = f"i-{0xabc0000000000 + number:017x}"
        self.boot, self.state = self.hex(32), self.hex(32)
        self.zone = zoneinfo.ZoneInfo(fleet.zone)
        self.shift = YEAR if self.kind == "clock" else 0 * DAY
        # Events of which no line is in the bucket.
        self.found = 0
        self.silent = self.kind in ("never", "doctor")

    def hex(self, digits):
        return f"{self.random.getrandbits(digits * 4):0{digits}x}"

    def write(self):
        days = self.fleet.days
        machines = [(self.boot, self.state)]
        if self.kind == "copied":
            machines.append((self.hex(32), self.hex(32)))
        carried = []
        last = None
        for day in range(days):
            made_at = START + (day + 1) * DAY
            lines, carried = self.day(day, carried, made_at)
            if self.kind != "never":
                self.doctor(made_at)
            if self.silent or self.kind == "gone" and day >= GONE:
                continue
            for machine, (boot, state) in enumerate(machines):
                body = lines if machine == 0 else []
                covers = self.covers(day, made_at, boot, state)
                last = made_at
                self.upload(day, made_at + machine * 60 * SECOND, body, covers, boot)
        self.silence(last)
        self.gaps()
        if self.kind == "copied" and days > 1:
            self.answers.add("coverage", "sessions", "copied instance id: two machines use it", 1, self.id, None)
        if self.kind == "clock":
            for why, count in (("an export is not of the day of its upload", days), ("a login is not at the time of its push", self.found)):
                self.answers.add("coverage", "sessions", f"wrong clock: {why}", count, self.id, None)

    def head(self, boot, made_at, final, kind):
        head = {"schema_version": 1, "kind": kind, "id": self.hex(32), "final": final, "agent_version": "2.3.0",
                "export_state": self.state, "export_number": 1 + self.number_of(made_at), "exported_at": text(made_at - self.shift),
                "instance_id": self.id, "instance_id_from": "firmware", "account": self.account, "region": self.region,
                "zone": self.region + "a", "image_id": "ami-0123456789abcdef0", "host_name": "ip-10-0-0-1", "boot_id": boot}
        if self.kind == "forger":
            head["instance_id"] = f"i-{0xabc0000000000 + self.number - 1:017x}"
        if self.kind == "older":
            for name in ("schema_version", "export_state", "export_number", "instance_id", "instance_id_from", "zone", "host_name"):
                del head[name]
            head["final"] = True
        return head

    def number_of(self, made_at):
        return (made_at - START).days - 1

    def covers(self, day, made_at, boot, state):
        line = self.head(boot, made_at, True, "coverage")
        gaps = [{"id": "rate-limit", "seen": "journald dropped lines"}] if self.kind == "gaps" and day == GAP else []
        if self.kind == "gaps":
            gaps.append({"id": "md5-fingerprints", "seen": "sshd logs MD5"})
        if "export_state" in line:
            line["export_state"] = state
        line.update({"log": {"kind": "journal", "files": [], "from": text(START - 5 * DAY), "to": text(made_at), "lines": 99},
                     "covered_from": text((made_at - DAY if day else START - 5 * DAY) - self.shift), "covered_to": text(made_at - self.shift),
                     "complete": len(gaps) < 2, "continues": day > 0, "sessions": 1, "unused": 1, "refusals": 1, "waiting": 0,
                     "all_logins": True, "not_known": None, "gaps": gaps})
        return line

    def upload(self, day, made_at, lines, covers, boot):
        """Writes the file of an export. Some are damaged, doubled or lost."""
        if self.kind == "lost" and day == LOST:
            return
        tally = self.answers.tally
        tally("files")
        lines = [json.dumps(line, separators=(",", ":")) for line in lines]
        if self.kind != "unfinished":
            lines.append(json.dumps(covers))
        path = f"day={made_at:%Y-%m-%d}/{self.account}_{self.region}_{self.id}_{made_at:%H%M%S}Z.jsonl.gz"
        cell = f"exports/sessions/{path}"
        if self.kind == "unfinished":
            self.answers.add("coverage", "sessions", "no finished export in the file", len(lines), self.id, cell)
            tally("unfinished")
        if self.kind == "older":
            tally("older", len(lines))
            self.answers.add("coverage", "sessions", "lines of older versions", len(lines), self.id, cell)
        if self.kind == "broken":
            lines[1:1] = ["", '{"kind":"session","id":"' + "0" * 32, "\x00\x01 no JSON", "[1,2]", lines[0] + lines[0],
                          '{"schema_version":1,"kind":"session","start":"2026-10-05T00:00:00Z"}', "{} x"]
            lines.append(lines[0][:300])
            tally("unreadable", 7)
            self.answers.add("coverage", "sessions", "lines that cannot be read", 7, self.id, cell)
        if self.kind == "forger":
            # Lines in the name of another instance are lines of this one.
            self.answers.add("coverage", "sessions", "lines that name another instance than their file", len(lines), self.id, cell)
            tally("forged", len(lines))
        if self.kind == "newer":
            lines.append(json.dumps({**covers, "kind": "certificate", "schema_version": 2, "id": self.hex(32), "more": {"a": [1]}}))
            tally("newer")
            self.answers.add("coverage", "sessions", "lines of newer versions", 1, self.id, cell)
            self.answers.add("coverage", "sessions", "lines of unknown kinds", 1, self.id, cell)
        tally("lines", len(lines) - (self.kind == "broken"))
        body = "\n".join(lines) + ("" if self.kind == "broken" else "\n")
        store(f"{self.fleet.folder}/{cell}", body)
        if self.kind == "twice":
            store(f"{self.fleet.folder}/{cell.replace('0000Z', '0500Z')}", body)
            tally("files")
            tally("lines", len(lines))
            tally("repeated", len(lines) - 1)

    def doctor(self, made_at):
        line = {"schema_version": 2, "version": "2.3.0", "at": text(made_at - self.shift), "user": None, "checks": [], "cause": None,
                "login": None, "instance": {"instance_id": self.id, "account": self.account, "region": self.region}}
        store(f"{self.fleet.folder}/exports/doctor/day={made_at:%Y-%m-%d}/"
              f"{self.account}_{self.region}_{self.id}_{made_at:%H%M%S}Z.json.gz", json.dumps(line) + "\n")
        self.answers.tally("doctor")

    def day(self, day, carried, made_at):
        """The events of a day: its lines, and the sessions whose end is in the next export."""
        self.lost = self.silent or self.kind == "gone" and day >= GONE or self.kind == "lost" and day == LOST
        lines, later = list(carried), []
        begin = START + day * DAY
        many = self.fleet.scale
        at = lambda: begin + self.random.randrange(60, 85_700) * SECOND
        for number in range(round(14 * many)):
            lines += self.login(at(), made_at, number, later, day)
        for _ in range(round(26 * many)):
            lines.append(self.other(at(), made_at))
        for _ in range(round(6 * many)):
            lines.append(self.refusal(at(), made_at))
        for number in range(round(3 * many)):
            lines += self.unused(at(), made_at, number, day)
        return lines, later

    def principal(self):
        name = NAMES[self.random.randrange(len(NAMES))]
        return f"arn:aws:sts::{self.caller_account}:assumed-role/Admin/{name}"

    def push(self, principal, request, verified=True):
        return {"principal": principal, "account": self.caller_account, "request_id": request, "verified": verified,
                "rule": "#1", "options": None, "recorder": None}

    def record(self, name, at, principal, request, mfa, address, error=None):
        """A record of CloudTrail, as AWS documents it."""
        if self.fleet.is_dark(self.caller_account, at):
            return
        role = {"type": "Role", "principalId": "AROAEXAMPLE", "arn": f"arn:aws:iam::{self.caller_account}:role/Admin",
                "accountId": self.caller_account, "userName": "Admin"}
        identity = {"type": "AssumedRole", "principalId": "AROAEXAMPLE:x", "arn": principal, "accountId": self.caller_account,
                    "accessKeyId": "ASIAEXAMPLE"}
        if mfa is not None:
            identity["sessionContext"] = {"sessionIssuer": role, "webIdFederationData": {},
                                          "attributes": {"mfaAuthenticated": str(mfa).lower(), "creationDate": text(at)}}
        parameters = {"instanceId": self.id, "osUser": "ec2-user", "SSHKey": {"publicKey": "ssh-ed25519 AAAA"}}
        if name == "OpenTunnel":
            parameters = {"instanceConnectEndpointId": "eice-0123456789abcdef0", "maxTunnelDuration": "3600",
                          "remotePort": "22", "privateIpAddress": "10.0.1.1"}
        record = {"eventVersion": "1.08", "userIdentity": identity, "eventTime": text(at),
                  "eventSource": "ec2-instance-connect.amazonaws.com", "eventName": name, "awsRegion": self.region,
                  "sourceIPAddress": address, "userAgent": "aws-cli/2.30", "requestParameters": parameters,
                  "responseElements": None, "requestID": request, "eventID": self.hex(32), "eventType": "AwsApiCall",
                  "recipientAccountId": self.caller_account}
        if error:
            record |= {"errorCode": error, "errorMessage": "not authorized"}
        else:
            if name == "SendSSHPublicKey":
                self.answers.last[self.caller_account] = max(self.answers.last.get(self.caller_account, at), at)
        day = at.replace(hour=0, minute=0, second=0)
        self.trail.setdefault((self.caller_account, self.region, day), []).append(record)

    def session(self, at, made_at, final, end, seconds, pushes):
        line = self.head(self.boot, made_at, final, "session")
        line.update({"start": text(at - self.shift), "end": end and text(end - self.shift), "state": "closed" if end else "open", "why": None,
                     "ended_by": None, "seconds": seconds, "user": "ec2-user", "method": "publickey", "address": "198.51.100.7",
                     "port": 4711, "fingerprint": "SHA256:" + self.hex(43), "sshd_pid": 1234,
                     "joined_by": "pid-and-key" if pushes else None, "attributed": True,
                     "end_attributed": True if end else None, "pushes": pushes})
        return line

    def login(self, at, made_at, number, later, day):
        principal, request = self.principal(), self.hex(32)
        seconds = self.random.randrange(1, 600)
        end, pushed = at + seconds * SECOND, at - self.random.randrange(1, 50) * SECOND
        mfa = (True, False, None)[number % 3]
        case = {1: "no record", 2: "unverified", 3: "another principal", 4: "refused by AWS"}.get(number) if day % 7 == 3 else None
        claimed = principal.replace("Admin", "Other") if case == "another principal" else principal
        address = "203.0.113.9"
        if case == "refused by AWS":
            self.record("SendSSHPublicKey", pushed, principal, request, mfa, address, "AccessDeniedException")
        elif case != "no record":
            self.record("SendSSHPublicKey", pushed, principal, request, mfa, address)
        if number == 0:
            self.record("OpenTunnel", pushed, principal, self.hex(32), mfa, address)
        dark = self.fleet.is_dark(self.caller_account, pushed)
        pushes = [self.push(claimed, request, case != "unverified")]
        line = self.session(at, made_at, True, end, seconds, pushes)
        lines = [line]
        is_last = day + 1 == self.fleet.days
        if number == 5 and not is_last and self.kind is None:
            # The session is open at the export. The next one has its end.
            line.update({"end": None, "state": "open", "final": False, "seconds": None})
            later.append({**line, "final": True, "end": text(end), "state": "closed", "seconds": seconds,
                          "exported_at": text(made_at + DAY), "export_number": line["export_number"] + 1})
            self.answers.tally("repeated")
        found = not dark and case not in ("no record", "refused by AWS")
        self.found += found and case != "another principal"
        if not self.lost and self.kind != "clock":
            said = "found" if found else "unknown: no CloudTrail file of that hour" if dark else "no record"
            said = "record of another principal" if found and case == "another principal" else said
            row = (text(at), text(end), seconds, "ec2-user", self.id, self.account, self.region, claimed, self.caller_account,
                   mfa if said == "found" else None, address if said == "found" else None, "198.51.100.7", request, line["fingerprint"],
                   case != "unverified", said)
            self.answers.add("logins", *row)
            if said != "found":
                self.answers.add("logins_without_push", *row)
            local = at.replace(tzinfo=datetime.timezone.utc).astimezone(self.zone)
            key = (local.isoweekday(), local.hour)
            self.answers.hours[key] = self.answers.hours.get(key, 0) + 1
            if key[0] > 5 or not self.fleet.office[0] <= key[1] < self.fleet.office[1]:
                self.answers.add("outside_hours", *row[:-1], *key)
        if found and (self.lost or case == "unverified"):
            self.without_login(pushed, principal, request, address, day, "only an unverified line names a login")
        return lines

    def without_login(self, pushed, principal, request, address, day, why):
        if self.silent:
            why = "unknown: no finished export of this instance"
        elif self.kind == "gone" and day >= GONE:
            why = "unknown: no export covers that time"
        elif self.kind == "lost" and day == LOST:
            why = "unknown: an earlier export is not in the bucket"
        self.answers.add("pushes_without_login", text(pushed), principal, self.caller_account, self.id, "ec2-user", request,
                         address, why)

    def unused(self, at, made_at, number, day):
        """A key that no login used, one that sshd never asked for, and one that the agent refused."""
        principal, request, address = self.principal(), self.hex(32), "2001:db8::1"
        self.record("SendSSHPublicKey", at, principal, request, False, address)
        lines, why = [], "unused: no login used the key"
        line = self.head(self.boot, made_at, True, "unused")
        line.update({"at": text(at - self.shift), "user": "ec2-user", "fingerprint": "SHA256:" + self.hex(43), "push": self.push(principal, request)})
        if number == 1:
            why = "sshd never asked for the key"
            if self.kind == "unfinished":
                why = "unknown: no finished export of this instance"
            if self.kind == "clock":
                why = "unknown: no export covers that time"
            if self.kind == "gaps" and day == GAP:
                why = "unknown: the log has a gap"
        elif number == 2:
            why = "refused: expired"
            line = {**line, "kind": "refusal", "reason": "expired", "count": 1, "attributed": True}
            self.refused(at, "expired", True, 1)
            lines.append(line)
        else:
            lines.append(line)
        if not self.fleet.is_dark(self.caller_account, at):
            self.without_login(at, principal, request, address, day, why)
        return lines

    def other(self, at, made_at):
        line = self.session(at, made_at, True, at + 9 * SECOND, 9, [])
        line["method"] = self.random.choice(["publickey", "password", "keyboard-interactive/pam"])
        if not self.lost and self.kind != "clock":
            self.answers.add("other_means", text(at), "ec2-user", line["method"], self.id, self.account, "198.51.100.7",
                             line["fingerprint"], True)
        return line

    def refusal(self, at, made_at):
        reason, attributed = self.random.choice(REASONS), self.random.choice([True, None])
        count = 1 if reason else self.random.randrange(2, 50)
        line = self.head(self.boot, made_at, True, "refusal")
        line.update({"at": text(at - self.shift), "reason": reason, "count": count, "user": None, "attributed": attributed, "push": None})
        self.refused(at, reason, attributed, count)
        return line

    def refused(self, at, reason, attributed, count):
        if self.lost or self.kind == "clock":
            return
        other = generator.Answers(False)
        other.refusals[reason, attributed] = (count, {self.id}, at, at)
        self.answers.merge(other)
        local = at.replace(tzinfo=datetime.timezone.utc).astimezone(self.zone)
        key = (f"{local:%Y-%m-%d}", reason)
        self.answers.days[key] = self.answers.days.get(key, 0) + count

    def silence(self, last):
        row = None
        if self.kind == "never":
            row = (None, None, "CloudTrail has pushes, but no export came")
        elif self.kind == "doctor":
            row = (None, None, "doctor reports, but no export came")
        elif self.kind == "unfinished":
            row = (None, None, "no export was finished")
        elif self.kind == "clock":
            ago = int((self.fleet.end - last + self.shift).total_seconds() // 3600)
            row = (text(last - self.shift), ago, "no export since")
        elif self.kind == "gone" and self.fleet.days > GONE + 1:
            row = (text(last), int((self.fleet.end - last).total_seconds() // 3600), "no export since")
        if row:
            account = self.caller_account if self.kind == "never" else self.account
            self.answers.add("silent_instances", self.id, account, self.region, *row)

    def gaps(self):
        first, end = START - 5 * DAY, START + self.fleet.days * DAY
        made_at = lambda day: START + (day + 1) * DAY
        if self.kind == "gaps":
            self.answers.add("log_gaps", self.id, self.account, text(first), text(end), "md5-fingerprints", self.fleet.days, False)
            if self.fleet.days > GAP:
                self.answers.add("log_gaps", self.id, self.account, text(made_at(GAP - 1)), text(made_at(GAP)), "rate-limit", 1, True)
        if self.kind == "lost" and self.fleet.days > LOST + 1:
            self.answers.add("log_gaps", self.id, self.account, text(made_at(LOST - 1)), text(made_at(LOST)),
                             "export-not-in-bucket", 1, True)
