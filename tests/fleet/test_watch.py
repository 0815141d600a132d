"""CloudWatch: metric filters against real lines, the configuration of the CloudWatch agent, and the queries.

    python3 -m unittest tests/fleet/test_watch.py

It needs root, tests/fleet/requirements.txt, systemd-journald, rsyslogd, cc, and the programs of `cargo build --workspace`
(or EIC_AGENT and EIC_EMULATOR). test_stack.py has the tests of the template."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import log_lines  # noqa: E402
from cloudwatch_filter import MAX_PATTERN, matches  # noqa: E402

PROJECT = pathlib.Path(__file__).resolve().parents[2]
FLEET = PROJECT / "packaging/fleet"
TEMPLATE = FLEET / "cloudformation/eic-agent-fleet.yaml"
METRICS = yaml.safe_load((FLEET / "cloudwatch/metrics.yaml").read_text())
TEMPLATE_DATA = yaml.safe_load(TEMPLATE.read_text())
RESOURCES = TEMPLATE_DATA["Resources"]
SOURCES = ("Journal", "Text")


def of_type(kind):
    return {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == kind}


def filters(source):
    """{metric: pattern} of the template."""
    found = {}
    for properties in of_type("AWS::Logs::MetricFilter").values():
        if properties["LogGroupName"] == {"Ref": f"{source}LogGroup"}:
            [transformation] = properties["MetricTransformations"]
            found[transformation["MetricName"]] = properties["FilterPattern"]
    return found


def matched(source, message):
    return {metric for metric, pattern in filters(source).items() if matches(pattern, message)}


def reasons_of_the_program():
    source = (PROJECT / "src/core/reason.rs").read_text()
    return set(re.findall(r'Self::\w+ => "([a-z-]+)",', source))


def configure(*arguments, version="1.300071.0b1", files=(), journal=True, script=None):
    """Runs `configure` twice with other paths, without root. A file stands for the CloudWatch agent."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        tools = root / "agent/bin"
        tools.mkdir(parents=True)
        (tools / "CWAGENT_VERSION").write_text(version + "\n")
        ctl = tools / "amazon-cloudwatch-agent-ctl"
        ctl.write_text(f"""#!/bin/sh
for last; do :; done
echo "$@" >>"{root}/said"
cp "${{last#file:}}" "{root}/sent.json"
mkdir -p "{root}/agent/etc/amazon-cloudwatch-agent.d"
cp "{root}/sent.json" "{root}/agent/etc/amazon-cloudwatch-agent.d/file_eic-agent.json"
""")
        ctl.chmod(0o755)
        for name in files:
            (root / name).write_text("")
        script = script or (FLEET / "cloudwatch/configure").read_text()
        script = script.replace("/opt/aws/amazon-cloudwatch-agent", f"{root}/agent")
        script = re.sub(r"-e /var/log/", f"-e {root}/", script)
        script = script.replace("-S /run/systemd/journal/socket", "-n yes" if journal else "-z yes")
        (root / "configure").write_text(script)
        for _ in range(2):
            run = subprocess.run(["sh", root / "configure", *arguments], capture_output=True, text=True)
        sent = root / "sent.json"
        said = (root / "said").read_text() if sent.exists() else ""
        return run, json.loads(sent.read_text()) if sent.exists() else None, said


class Filters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lines = log_lines.collect()

    def test_each_reason_is_in_one_class(self):
        classes = [reason for one in METRICS["classes"] for reason in one["reasons"]]
        self.assertEqual(sorted(classes), sorted(set(classes)))
        self.assertEqual(set(classes), reasons_of_the_program())

    def test_each_reason_sets_off_its_class_alone(self):
        begin = "Nov 27 01:05:42 host eic-agent[700]: "
        for one in METRICS["classes"]:
            for reason in one["reasons"]:
                for event, words in (
                    ("refused", f"Refusing ssh key from EC2 Instance Connect for user ec2-user: {reason}: why; fingerprint: x"),
                    ("failed", f"No ssh keys from EC2 Instance Connect for user ec2-user: {reason}: why"),
                    ("provider", f'Provider "/bin/x" asked for user "ec2-user": {reason}: why'),
                ):
                    of_event = {"refused": {"Refused"}, "failed": {"Failed"}, "provider": set()}[event]
                    with self.subTest(reason=reason, event=event):
                        self.assertEqual(matched("Text", begin + words), of_event | {one["metric"]})
                        body = {"EIC_EVENT": event, "EIC_REASON": reason, "MESSAGE": words, "SYSLOG_IDENTIFIER": "eic-agent"}
                        self.assertEqual(matched("Journal", json.dumps({"body": body})), of_event | {one["metric"], "ByReason"})

    def test_real_events_of_the_journal(self):
        journal = self.lines["journal"]
        # The CloudWatch agent does not get what another user wrote: `configure` selects by the field _UID of the kernel.
        self.assertEqual(journal.pop("forged"), [])
        wanted = {
            "granted": {"Granted"},
            "denied-by-default": {"Refused", "RefusedByRule", "ByReason"},
            "audit-unavailable": {"Failed", "AuditLost", "ByReason"},
            "settings-invalid": {"Failed", "Misconfigured", "ByReason"},
            "expired": {"Refused", "RefusedExpired", "ByReason"},
            "metadata-throttled 429": {"Failed", "MetadataThrottled", "ByReason"},
            "metadata-throttled 503": {"Failed", "MetadataThrottled", "ByReason"},
            "metadata-forbidden 403": {"Failed", "MetadataUnavailable", "ByReason"},
            "metadata-timeout": {"Failed", "MetadataUnavailable", "ByReason"},
            "metadata-unreachable": {"Failed", "MetadataUnavailable", "ByReason"},
            "lost of ssh.service": {"AuditLost"},
            # A rate limit of another unit drops no line of the agent.
            "lost of other.service": set(),
        }
        self.assertEqual(journal.keys(), wanted.keys())
        for case, events in journal.items():
            for event in events:
                with self.subTest(case):
                    self.assertEqual(matched("Journal", json.dumps(event)), wanted[case])
                    if "EIC_REASON" in event["body"]:
                        self.assertEqual(event["body"]["EIC_REASON"], case.split()[0])
            self.assertGreaterEqual(len(events), 1, case)

    def test_real_lines_of_text_logs(self):
        _, config, _ = configure(version="1.300069.0b1", files=["secure"])
        wanted = {
            "granted": {"Granted"},
            # The text alone does not show who wrote it.
            "forged": {"Granted"},
            "denied-by-default": {"Refused", "RefusedByRule"},
            "audit-unavailable": {"Failed", "AuditLost"},
            "settings-invalid": {"Failed", "Misconfigured"},
            "expired": {"Refused", "RefusedExpired"},
            "metadata-throttled 429": {"Failed", "MetadataThrottled"},
            "metadata-throttled 503": {"Failed", "MetadataThrottled"},
            "metadata-forbidden 403": {"Failed", "MetadataUnavailable"},
            "metadata-timeout": {"Failed", "MetadataUnavailable"},
            "metadata-unreachable": {"Failed", "MetadataUnavailable"},
            "another program": None,
            "lost": {"AuditLost"},
        }
        files = config["logs"]["logs_collected"]["files"]["collect_list"]
        self.assertEqual({pathlib.Path(one["file_path"]).name for one in files}, set(self.lines["text"]))
        for one in files:
            name = pathlib.Path(one["file_path"]).name
            [included] = one["filters"]
            cases = self.lines["text"][name]
            self.assertEqual(cases.keys(), wanted.keys())
            for case, lines in cases.items():
                sent = [line for line in lines if re.search(included["expression"], line)]
                with self.subTest(file=name, case=case):
                    # The files of other facilities have only the reports of lost lines.
                    others = name in ("syslog", "messages")
                    expected = (case == "lost") if others else wanted[case] is not None and case != "lost"
                    self.assertEqual(bool(sent), expected, lines[:3])
                    for line in sent:
                        self.assertEqual(matched("Text", line), wanted[case], line)

    def test_lines_of_the_suite(self):
        corpus = PROJECT / "tests/suite/sessions/corpus"
        for name in ("rsyslog-traditional.log", "rsyslog-file.log"):
            lines = (corpus / name).read_text().splitlines()
            given = [line for line in lines if "Providing ssh key" in line]
            self.assertTrue(given)
            for line in lines:
                with self.subTest(line):
                    self.assertEqual("Granted" in matched("Text", line), line in given)

    def test_patterns_keep_to_the_limits(self):
        for source in SOURCES:
            patterns = filters(source)
            # The quota of a log group is 100 filters, and five of them may have regular expressions.
            self.assertLessEqual(len(patterns), 100)
            for metric, pattern in patterns.items():
                self.assertLessEqual(len(pattern), MAX_PATTERN, metric)
                self.assertNotIn("%", pattern)
                # CloudWatch ignores a question mark beside other terms.
                if pattern.startswith("?"):
                    self.assertEqual(pattern.count("?"), pattern.count('"') / 2, metric)

    def test_a_text_filter_has_no_dimension(self):
        # Each value of a dimension is a metric that costs. A local user could invent values.
        for name, properties in of_type("AWS::Logs::MetricFilter").items():
            [transformation] = properties["MetricTransformations"]
            if "Dimensions" in transformation:
                self.assertEqual((name, properties["LogGroupName"]), ("JournalByReason", {"Ref": "JournalLogGroup"}))
            self.assertNotIn("DefaultValue", transformation)


class Configure(unittest.TestCase):
    def test_journal_of_the_agents_user(self):
        run, config, said = configure("--user", "nobody", "--prefix", "/other")
        self.assertEqual(run.returncode, 0, run.stderr)
        [entry] = config["logs"]["logs_collected"]["journald"]["collect_list"]
        uid = subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
        self.assertEqual(entry["matches"][0], {"SYSLOG_IDENTIFIER": "eic-agent", "_UID": uid})
        self.assertEqual(entry["log_group_name"], "/other/journal")
        # Other configuration of the CloudWatch agent stays. The second run did not start it again.
        self.assertRegex(said, r"^-a append-config -m ec2 -s -c file:\S+/eic-agent.json\n$")
        self.assertIn("already has this configuration", run.stderr)

    def test_the_document_runs_the_same_script(self):
        document = RESOURCES["CloudWatchDocument"]["Properties"]["Content"]
        [step] = document["mainSteps"]
        [script] = step["inputs"]["runCommand"]
        # Systems Manager inserts the parameters as text, after it has checked their patterns.
        for name, value in (("LogGroupPrefix", "/fleet"), ("AgentUser", "nobody")):
            self.assertRegex(value, document["parameters"][name]["allowedPattern"])
            script = script.replace(f"{{{{ {name} }}}}", value)
        self.assertNotIn("{{", script)
        run, config, _ = configure(script=script)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(config, configure("--user", "nobody", "--prefix", "/fleet")[1])
        parameters = of_type("AWS::SSM::Association")["CloudWatchAssociation"]["Parameters"]
        self.assertEqual(set(parameters), set(document["parameters"]))

    def test_never_both_logs(self):
        _, config, _ = configure("--user", "nobody", files=["secure", "auth.log"])
        self.assertEqual(list(config["logs"]["logs_collected"]), ["journald"])
        for version in ("1.300069.0b1", "1.247358.0b1", "unknown", ""):
            _, config, _ = configure("--user", "nobody", version=version, files=["auth.log"])
            self.assertEqual(list(config["logs"]["logs_collected"]), ["files"], version)
        _, config, _ = configure(journal=False, files=["secure"])
        self.assertEqual(list(config["logs"]["logs_collected"]), ["files"])

    def test_what_cannot_work_changes_nothing(self):
        for arguments, more, words in (
            (["--user", "nobody"], {"version": "1.300069.0b1"}, "1.300070.0 or later, this is 1.300069.0b1"),
            (["--user", "no-such-user"], {}, "expected the user no-such-user"),
            (["--user", "root"], {}, "other than root"),
            (["--user", "a b"], {}, "expected the name of a user"),
            (["--prefix", '/x"y'], {}, "expected a prefix"),
            (["--prefix", "x"], {}, "expected a prefix"),
            (["--wrong"], {}, "unknown option"),
        ):
            with self.subTest(arguments):
                run, config, _ = configure(*arguments, **more)
                self.assertEqual((run.returncode, config), (1, None))
                self.assertIn(words, run.stderr)

    def test_configurations_have_the_form_that_the_cloudwatch_agent_accepts(self):
        # Fields of amazon-cloudwatch-agent-schema.json, release 1.300071.0, which has additionalProperties: false.
        journal = {"log_group_name", "log_stream_name", "log_group_class", "retention_in_days", "filters", "units", "priority",
                   "matches"}
        files = {"file_path", "log_group_name", "log_stream_name", "filters"}
        for more, kind, fields in (({}, "journald", journal), ({"version": "1", "files": ["secure"]}, "files", files)):
            _, config, _ = configure("--user", "nobody", **more)
            self.assertEqual(list(config), ["logs"])
            self.assertEqual(list(config["logs"]), ["logs_collected"])
            for entry in config["logs"]["logs_collected"][kind]["collect_list"]:
                self.assertLessEqual(set(entry), fields)
                for match in entry.get("matches", []):
                    for field in match:
                        self.assertRegex(field, "^[_A-Z]+$")
                for one in entry.get("filters", []):
                    self.assertEqual((set(one), one["type"]), ({"type", "expression"}, "include"))
                    re.compile(one["expression"])


# The commands of Logs Insights, after its "query syntax" in the CloudWatch Logs User Guide.
COMMANDS = {"fields", "filter", "stats", "sort", "limit", "parse", "display", "dedup"}


class Queries(unittest.TestCase):
    def test_queries_use_documented_commands(self):
        """There is no engine here: the queries were not executed."""
        found = of_type("AWS::Logs::QueryDefinition")
        self.assertEqual(len(found), len(list((FLEET / "cloudwatch/queries").glob("*.txt"))))
        for name, properties in found.items():
            text = "\n".join(line for line in properties["QueryString"].splitlines() if not line.startswith("#"))
            for part in re.split(r"\n\| |^\| ", text.strip()):
                with self.subTest(name, part=part):
                    self.assertIn(part.split()[0], COMMANDS)
                    self.assertEqual(part.count("("), part.count(")"))
                    self.assertEqual(part.count('"') % 2, 0)

    def test_text_queries_parse_real_lines(self):
        """Python's regular expressions stand for those of Logs Insights, which have the same form here."""
        query = (FLEET / "cloudwatch/queries/text-refusals-by-reason.txt").read_text()
        expression = re.search(r"parse @message /(.*)/", query)[1].replace("(?<", "(?P<")
        for reason in reasons_of_the_program():
            for words in ("Refusing ssh key from EC2 Instance Connect for user ec2-user", 'Provider "/x" asked for user "x"',
                          "No ssh keys from EC2 Instance Connect for user ec2-user"):
                line = f"Nov 27 01:05:42 host eic-agent[700]: {words}: {reason}: why: and more"
                self.assertEqual(re.search(expression, line)["reason"], reason)


if __name__ == "__main__":
    unittest.main()
