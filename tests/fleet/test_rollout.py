"""packaging/fleet/ssm: the documents, their patterns, and their scripts on a machine with a real apt, sshd and AWS CLI."""

import base64
import gzip
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import boto3
import cfnlint.decode.cfn_yaml
import machines
import moto
import ssm
import yaml

FLEET = machines.PROJECT / "packaging/fleet"
DOCUMENTS = {name: ssm.load(FLEET / f"ssm/{name}.yaml") for name in ("install", "doctor", "export")}
WEB = "https://packages.example.com"
INSTANCE = "i-0123456789abcdef0"
GOOD = {
    "Repository": [WEB, f"{WEB}/", f"{WEB}:8443/eic-agent/stable_1.x~rc+2", "https://10.0.0.1/a"],
    "Fingerprint": ["0" * 40, "aBcD" * 16],
    "Script": ["0123456789abcdef" * 4],
    "Severity": ["CRITICAL", "UNSPECIFIED"],
    "Bucket": ["abc", "fleet-logs.123456789012", "a" * 63],
    "MaxSpoolMegabytes": ["1", "999999"],
    "MinFreeMegabytes": ["1", "256"],
}
# Each of these, alone or after a good value, must not reach a shell as anything but text.
HOSTILE = [
    "'; touch /run/pwned; '", "$(touch /run/pwned)", "`touch /run/pwned`", "\ntouch /run/pwned\n", "\n", ";touch /run/pwned", "|id", "&",
    ">/run/pwned", '"', "'", "\\", " ", "\t", "\r", "\0", "*", "?", "!", "#", "(", ")", "{{ Script }}", "{{ssm:secret}}", "${IFS}",
    "$HOME", "%27", "\u2019", "\u00e9", "-", "--help", "..", "0", "", "\u2028touch", "x" * 4096,
]
SHELL_CHARACTERS = set("'\"\\`$;&|<>(){}*?[]!#~ \t\r\0") - {"~"}


class Documents(unittest.TestCase):
    def test_documents_are_valid(self):
        for name, document in DOCUMENTS.items():
            self.assertEqual(ssm.faults(document), [], name)

    def test_the_check_finds_faults(self):
        def spoiled(change):
            document = json.loads(json.dumps(DOCUMENTS["install"]))
            change(document)
            return ssm.faults(document)

        step = {"action": "aws:runPowerShellScript", "name": "x", "inputs": {}}
        for change in (
            lambda document: document.update(schemaVersion="2.0"),
            lambda document: document.update(extra=1),
            lambda document: document["mainSteps"].append(step),
            lambda document: document["parameters"]["Script"].pop("allowedPattern"),
            lambda document: document["parameters"].update(Unused={"type": "String", "description": "x", "allowedPattern": "^x$"}),
            lambda document: document["mainSteps"][0]["inputs"]["runCommand"].append("echo '{{ Unknown }}'"),
            lambda document: document["mainSteps"][0]["inputs"]["runCommand"].append("echo {{ Script }}"),
            lambda document: document["mainSteps"][0]["inputs"]["runCommand"].append("x" * 65536),
        ):
            self.assertNotEqual(spoiled(change), [])

    def test_patterns_accept_good_values_and_no_shell_text(self):
        for document in DOCUMENTS.values():
            for name, parameter in document["parameters"].items():
                for value in GOOD[name]:
                    self.assertTrue(ssm.accepts(parameter, value), f"{name}={value}")
                    for hostile in HOSTILE:
                        for text in (hostile, value + hostile, hostile + value, value[:2] + hostile + value[2:]):
                            if ssm.accepts(parameter, text):
                                # `$` may match before one line break at the end. In quotes, it is harmless.
                                self.assertFalse(SHELL_CHARACTERS & set(text.removesuffix("\n")), f"{name}={text!r}")
                                self.assertNotIn("\n", text.removesuffix("\n"))
                                self.assertTrue(text.isascii())

    def test_other_platforms_run_nothing(self):
        for name, document in DOCUMENTS.items():
            values = {parameter: GOOD[parameter][0] for parameter in document["parameters"]}
            self.assertEqual(len(ssm.scripts(document, values)), 1, name)
            self.assertEqual(ssm.scripts(document, values, platform="Windows"), [], name)

    def test_scripts_are_sound(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, document in DOCUMENTS.items():
                values = {parameter: GOOD[parameter][0] for parameter in document["parameters"]}
                file = pathlib.Path(folder, name)
                file.write_text("#!/bin/sh\n" + ssm.scripts(document, values)[0])
                for command in (["shellcheck", file], ["dash", "-n", file], ["bash", "--posix", "-n", file]):
                    done = subprocess.run(command, capture_output=True, text=True)
                    self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), name)

    def test_template_of_documents_roles_and_associations_is_valid(self):
        deploy = FLEET / "ssm/deploy"
        read = lambda name: json.loads((deploy / f"{name}.json").read_text())
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        policies = [{"PolicyName": name, "PolicyDocument": read(name)} for name in ("policy-doctor", "policy-export")]
        resources = {"Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust, "Policies": policies}}}
        for name, association in read("associations").items():
            document = DOCUMENTS[name.lower()]
            self.assertEqual(association["Name"], {"Ref": f"{name}Document"})
            self.assertLessEqual(set(association["Parameters"]), set(document["parameters"]))
            for parameter, rules in document["parameters"].items():
                given = association["Parameters"].get(parameter, [rules.get("default")])
                for value in given:
                    self.assertTrue(isinstance(value, dict) or ssm.accepts(rules, value), f"{name}: {parameter}={value}")
            resources[f"{name}Document"] = {"Type": "AWS::SSM::Document", "Properties": {"DocumentType": "Command", "Content": document}}
            resources[f"{name}Association"] = {"Type": "AWS::SSM::Association", "Properties": association}
        names = {*re.findall(r'"Ref": "([A-Za-z0-9]+)"', json.dumps(resources)), *re.findall(r"\${([A-Za-z0-9]+)}", json.dumps(read("associations")))}
        parameters = {name: {"Type": "String"} for name in names - set(resources)}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"AWSTemplateFormatVersion": "2010-09-09", "Parameters": parameters, "Resources": resources}, file)
            file.flush()
            done = subprocess.run([machines.tool("cfn-lint"), file.name], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


class Images(unittest.TestCase):
    def make(self, *values):
        done = subprocess.run([FLEET / "launch-template/make", *values], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    good = (f"{WEB}/sound/", "0A" * 20, "1b" * 32, "fleet-profile")

    def test_launch_template_is_accepted_and_has_the_values(self):
        status, text, error = self.make(*self.good)
        self.assertEqual((status, error), (0, ""))
        data = json.loads(text)
        commands = yaml.safe_load(base64.b64decode(data["UserData"]))["runcmd"][0]
        for word in (f"{WEB}/sound/provision", "1b" * 32, f"{WEB}/sound {'0A' * 20}"):
            self.assertIn(word, commands)
        self.assertNotIn("0000", commands)
        with moto.mock_aws():
            ec2 = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
            ec2.create_launch_template(LaunchTemplateName="eic-agent", LaunchTemplateData=data)
            (version,) = ec2.describe_launch_template_versions(LaunchTemplateName="eic-agent")["LaunchTemplateVersions"]
        self.assertEqual(version["LaunchTemplateData"]["MetadataOptions"]["HttpTokens"], "required")

    def test_launch_template_refuses_hostile_values(self):
        for at, good in enumerate(self.good):
            for hostile in filter(None, HOSTILE):
                for value in (hostile, good + hostile):
                    values = [*self.good[:at], value, *self.good[at + 1:]]
                    # A program's argument has no NUL. Some of these texts are good at the end of a URL or a name.
                    if "\0" in value or (at in (0, 3) and re.fullmatch("[A-Za-z0-9._-]{0,40}", hostile)):
                        continue
                    self.assertEqual(self.make(*values)[:2], (1, ""), values)

    def test_pipeline_of_image_builder_is_valid_and_has_the_component(self):
        template = subprocess.run([FLEET / "image-builder/make"], capture_output=True, text=True, check=True).stdout
        component = yaml.safe_load((machines.PROJECT / "packaging/ami/component.yml").read_text())
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(template)
            file.flush()
            done = subprocess.run([machines.tool("cfn-lint"), "--format", "parseable", file.name], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        resources = cfnlint.decode.cfn_yaml.loads(template)["Resources"]
        self.assertEqual(yaml.safe_load(resources["Component"]["Properties"]["Data"]), component)
        (used,) = resources["Recipe"]["Properties"]["Components"]
        names = [name for parameter in component["parameters"] for name in parameter]
        self.assertEqual([parameter["Name"] for parameter in used["Parameters"]], names)

    def test_ansible_lint_finds_nothing(self):
        path = f"{pathlib.Path(machines.tool('ansible-lint')).parent}:{os.environ['PATH']}"
        done = subprocess.run([machines.tool("ansible-lint"), "--offline", "--strict", "--profile", "production", FLEET / "ansible"],
                              capture_output=True, text=True, env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"Passed: 0 failure\(s\), 0 warning\(s\) in [1-9]")


class OnAMachine(unittest.TestCase):
    """The scripts, one after another, on one machine. A test continues where the one before ended."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.machine = machines.Machine(cls.kind)
        cls.machine.must("cli s3 mb s3://fleet-logs")
        cls.values = cls.install_values("sound")

    @classmethod
    def tearDownClass(cls):
        cls.machine.end()

    @classmethod
    def install_values(cls, repository):
        sha256 = cls.machine.must(f"sha256sum </run/offer/{repository}/provision | cut -d ' ' -f 1")
        return {"Repository": f"{WEB}/{repository}", "Fingerprint": cls.machine.names["FINGERPRINT"], "Script": sha256}

    def run_document(self, name, values, shell="dash", check=True, **environment):
        (script,) = ssm.scripts(DOCUMENTS[name], values, check=check)
        return self.machine.script(script, shell, **environment)

    def expect(self, status, pattern, answer):
        self.assertEqual(answer[0], status, answer[1])
        self.assertRegex(answer[1], pattern)

    def version(self):
        return self.machine.do("version" if self.kind == "deb" else "rpm_version")[1]

    def objects(self):
        """The exports in the bucket: names and contents."""
        text = self.machine.must(
            "rm -rf $ROOT/run/bucket && cli s3 sync --only-show-errors s3://fleet-logs /run/bucket && cd $ROOT/run/bucket &&"
            "find exports -type f | while read -r name; do echo $name $(base64 -w 0 $name); done")
        parts = [line.split(" ") for line in text.splitlines()]
        return {name: gzip.decompress(base64.b64decode(content)).decode() for name, content in parts}

    def log(self, *ports):
        """Adds a login to the log for each port."""
        for port in ports:
            line = (f"2026-11-27T{port // 3600 % 24:02}:{port // 60 % 60:02}:{port % 60:02}.000000+00:00 host sshd[{port}]: Accepted publickey "
                    f"for ec2-user from 203.0.113.7 port {port} ssh2: ED25519 SHA256:NBbB4T2ZqJTGF6joXdgFMkfV/PUagiriCkfbbQDM0LM")
            self.machine.must(f"mkdir -p $ROOT/var/log && echo '{line}' >>$ROOT/var/log/auth.log")


class OnDebian(OnAMachine):
    kind = "deb"

    def test_10_nothing_is_installed_from_a_repository_that_is_not_ours(self):
        self.machine.must("keep etc etc-before")
        broken = "/etc/ssh/sshd_config.d/99-broken.conf"
        other = {"Fingerprint": "0" * 40}, {"Script": "0" * 64}, {"Repository": f"{WEB}/nothing-there"}, {"Repository": f"{WEB}/endless"}
        patterns = "expected the key 0{40}", "expected the SHA-256 0{64} .*got [0-9a-f]{64}", "curl ended with", "curl ended with"
        for change, pattern in zip(other, patterns):
            self.expect(1, pattern, self.run_document("install", {**self.values, **change}))
        self.machine.write(broken, "NoSuchKeyword yes\n")
        self.expect(1, "NoSuchKeyword[^$]*Nothing was changed", self.run_document("install", self.values))
        self.machine.must(f"rm $ROOT{broken} && keep etc etc-now && diff $MACHINE/etc-before $MACHINE/etc-now")
        self.assertEqual(self.version(), "")

    def test_11_accepted_values_inject_nothing(self):
        for name, document in DOCUMENTS.items():
            good = {parameter: GOOD[parameter][0] for parameter in document["parameters"]}
            for parameter in good:
                value = good[parameter] + "\n"
                if ssm.accepts(document["parameters"][parameter], value):
                    self.run_document(name, {**good, parameter: value})
        self.assertEqual(self.machine.do("ls $ROOT/run/pwned")[0], 2)
        self.assertEqual(self.version(), "")

    def test_12_doctor_and_export_without_the_agent(self):
        self.expect(0, "recorded .*not installed", self.run_document("doctor", {}))
        self.expect(1, "expected the program eic-agent", self.run_document("export", {"Bucket": "fleet-logs"}))

    def test_20_two_installations_at_once(self):
        (script,) = ssm.scripts(DOCUMENTS["install"], self.values)
        self.machine.write("/run/two.sh", script)
        status, output = self.machine.do(
            "as_ssm dash /run/two.sh >$MACHINE/two-dash & first=$!; as_ssm bash /run/two.sh >$MACHINE/two-bash & wait $! && wait $first;"
            "tail -n 1 $MACHINE/two-dash $MACHINE/two-bash")
        self.assertEqual(output.count("is in place"), 2, output)
        self.assertEqual(self.version(), self.machine.names["VERSION"])
        self.machine.do("wait_for_sshd")

    def test_21_a_pushed_key_logs_in(self):
        self.expect(0, "ok .* logged in as ec2-user", self.machine.do("push ec2-user pushed; check_login ec2-user pushed"))

    def test_22_again_changes_nothing(self):
        self.machine.must("keep etc etc-before")
        self.expect(0, "is in place", self.run_document("install", self.values, "bash"))
        self.machine.must("keep etc etc-now && diff $MACHINE/etc-before $MACHINE/etc-now")

    def test_23_user_data_of_the_launch_template_installs(self):
        values = self.values
        made = subprocess.run([FLEET / "launch-template/make", values["Repository"], values["Fingerprint"], values["Script"], "profile"],
                              capture_output=True, text=True, check=True)
        data = yaml.safe_load(base64.b64decode(json.loads(made.stdout)["UserData"]))
        self.machine.must("in_root apt-get purge --yes eic-agent")
        # cloud-init runs a command that is a text with sh.
        self.expect(0, "is in place", self.machine.script(data["runcmd"][0]))
        self.assertEqual(self.version(), self.machine.names["VERSION"])

    def recorded(self):
        return json.loads(self.machine.must("tail -n 1 $MACHINE/compliance"))

    def test_30_doctor_records_a_good_result(self):
        for shell in ("dash", "bash"):
            self.expect(0, f"recorded for {INSTANCE}: COMPLIANT", self.run_document("doctor", {}, shell))
            request = self.recorded()
            self.assertEqual((request["ResourceId"], request["ComplianceType"]), (INSTANCE, "Custom:EicAgent"))
            self.assertEqual([(item["Id"], item["Status"]) for item in request["Items"]], [("eic-agent", "COMPLIANT")])
            self.assertRegex(request["Items"][0]["Details"]["Version"], r"^\d+\.\d+\.\d+$")

    def test_31_doctor_records_each_fault(self):
        self.machine.write("/etc/eic-agent.toml", "nonsense = \"'\\\\ {{ x }}\\u0001\"\n")
        self.expect(0, "NON_COMPLIANT.*something is broken: settings", self.run_document("doctor", {"Severity": "CRITICAL"}))
        items = {item["Id"]: item for item in self.recorded()["Items"]}
        self.assertEqual((items["settings"]["Status"], items["settings"]["Severity"]), ("NON_COMPLIANT", "CRITICAL"))
        report = json.loads(self.machine.do("in_root eic-agent doctor --json")[1])
        checks = {check["id"]: check for check in report["checks"]}
        self.assertEqual(items["settings"]["Details"], {"Seen": checks["settings"]["seen"], "Fix": checks["settings"]["fix"]})
        bad = {name for name, check in checks.items() if check["verdict"] in ("fail", "warn")}
        self.assertEqual(set(items), {"eic-agent", *bad})
        self.machine.must(": >$ROOT/etc/eic-agent.toml")

    def test_32_a_result_that_cannot_be_recorded_is_a_failure(self):
        self.machine.must(": >$MACHINE/compliance.deny")
        self.expect(1, "AccessDenied[^$]*ssm:PutComplianceItems[^$]*Nothing was recorded", self.run_document("doctor", {}))
        self.machine.must("rm $MACHINE/compliance.deny")
        before = self.machine.must("wc -l <$MACHINE/compliance")
        for name in ("i-0fedcba9876543210", "i-$(touch /run/pwned)", "i-0123 --help"):
            self.expect(1, "Nothing was recorded", self.run_document("doctor", {}, AWS_SSM_INSTANCE_ID=name))
        self.assertEqual(self.machine.must("wc -l <$MACHINE/compliance"), before)
        self.expect(0, "recorded for mi-0123456789abcdef0", self.run_document("doctor", {}, AWS_SSM_INSTANCE_ID="mi-0123456789abcdef0"))

    def test_40_export_has_the_layout_of_the_bucket(self):
        self.log(1001, 1002)
        for shell in ("dash", "bash"):
            self.expect(0, "exported to s3://fleet-logs", self.run_document("export", {"Bucket": "fleet-logs"}, shell))
        objects = self.objects()
        for name, text in objects.items():
            pattern = rf"exports/(sessions|doctor)/day=(\d{{4}}-\d\d-\d\d)/123456789012_us-east-1_{INSTANCE}_(\d\d)(\d\d)(\d\d)Z\.jsonl?\.gz"
            self.assertRegex(name, f"^{pattern}$")
            kind, *parts = re.fullmatch(pattern, name).groups()
            lines = [json.loads(line) for line in text.splitlines()]
            at = lines[-1]["exported_at" if kind == "sessions" else "at"]
            self.assertEqual(re.findall(r"\d\d\d\d-\d\d-\d\d|\d\d(?=[:Z])", at), parts)
            self.assertTrue(kind == "sessions" or len(lines) == 1)
        sessions = [json.loads(line) for name, text in objects.items() if "/sessions/" in name for line in text.splitlines()]
        self.assertEqual(sorted(line["port"] for line in sessions if line["kind"] == "session"), [1001, 1002])
        self.assertEqual(sorted(line["export_number"] for line in sessions if line["kind"] == "coverage"), [1, 2])
        self.assertEqual(self.machine.must("find $ROOT/var/lib/eic-agent-fleet/spool -type f | sed 's,.*/,,'"), "names")

    def test_41_an_export_that_cannot_be_uploaded_is_kept(self):
        before = set(self.objects())
        self.log(1003)
        for _ in range(2):
            self.expect(1, "NoSuchBucket[^$]*wait in /var/lib", self.run_document("export", {"Bucket": "not-there"}))
        self.log(1004)
        self.expect(0, "exported", self.run_document("export", {"Bucket": "fleet-logs"}))
        text = "".join(text for name, text in self.objects().items() if name not in before and "/sessions/" in name)
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(sorted(line["port"] for line in lines if line["kind"] == "session"), [1003, 1004])
        self.assertEqual(sorted(line["export_number"] for line in lines if line["kind"] == "coverage"), [3, 4, 5])

    def test_42_a_full_spool_or_disk_stops_exports_and_loses_nothing(self):
        spool = "$ROOT/var/lib/eic-agent-fleet/spool"
        self.machine.must(f"mkdir -p {spool}/exports/sessions && head -c 3000000 /dev/urandom >{spool}/exports/sessions/filler.jsonl.gz")
        self.log(1005)
        state = self.machine.must("sha256sum $ROOT/var/lib/eic-agent-fleet/state/sessions")
        self.expect(1, "expected less than 1 MB in .*, got 2 MB", self.run_document("export", {"Bucket": "not-there", "MaxSpoolMegabytes": "1"}))
        self.expect(1, "expected more than 999999 MB of free space", self.run_document("export", {"Bucket": "fleet-logs", "MinFreeMegabytes": "999999"}))
        # The agent cannot write: its file has a limit.
        wrapper = "#!/bin/sh\n[ $1 != sessions ] || ulimit -f 0\nexec /usr/bin/eic-agent \"$@\"\n"
        self.machine.write("/run/first/eic-agent", wrapper, "755")
        self.expect(1, "it ended with 153", self.run_document("export", {"Bucket": "fleet-logs"}))
        self.assertEqual(self.machine.must("sha256sum $ROOT/var/lib/eic-agent-fleet/state/sessions"), state)
        self.machine.must("rm $ROOT/run/first/eic-agent; cli s3 rm s3://fleet-logs/exports/sessions/filler.jsonl.gz")
        before = set(self.objects())
        self.expect(0, "exported", self.run_document("export", {"Bucket": "fleet-logs"}))
        text = "".join(text for name, text in self.objects().items() if name not in before and "/sessions/" in name)
        self.assertEqual([json.loads(line).get("port") for line in text.splitlines()], [1005, None])


    def test_43_two_exports_at_once(self):
        before = set(self.objects())
        self.log(1006)
        (script,) = ssm.scripts(DOCUMENTS["export"], {"Bucket": "fleet-logs"})
        self.machine.write("/run/two.sh", script)
        output = self.machine.must(
            "as_ssm dash /run/two.sh >$MACHINE/one & first=$!; as_ssm bash /run/two.sh >$MACHINE/two & wait $! && wait $first && cat $MACHINE/one $MACHINE/two")
        self.assertEqual(output.count("exported to s3://fleet-logs"), 2)
        texts = [text for name, text in self.objects().items() if name not in before and "/sessions/" in name]
        lines = [json.loads(line) for text in texts for line in text.splitlines()]
        self.assertEqual(sorted(line["kind"] for line in lines), ["coverage", "coverage", "session"])
        self.assertEqual(len({line["export_number"] for line in lines}), 2)

    def test_44_names_without_an_identity_and_of_one_second_differ(self):
        before = set(self.objects())
        for account, instance in (("null", r"\2"), ("null", r"\2"), ("null", "null"), ('"..\/1"', r"\2")):
            # The agent without metadata, or with a wrong one, in one second.
            edits = (rf's/"account": *("[^"]*"|null)/"account":{account}/; s/("instance_id":) *("[^"]*")/\1{instance}/;'
                     r's/"(exported_at|at)": *"[^"]*"/"\1":"2026-11-28T01:02:03Z"/')
            wrapper = f"#!/bin/sh\n/usr/bin/eic-agent \"$@\" >/run/out\nstatus=$?\nsed -E '{edits}' /run/out\nexit $status\n"
            self.machine.write("/run/first/eic-agent", wrapper, "755")
            self.expect(0, "exported", self.run_document("export", {"Bucket": "fleet-logs"}))
        self.machine.must("rm $ROOT/run/first/eic-agent")
        names = sorted(name.rsplit("/", 1)[1] for name in set(self.objects()) - before if "/sessions/day=2026-11-28/" in name)
        boot = self.machine.must("tr -d - </proc/sys/kernel/random/boot_id")
        known = f"unknown_us-east-1_{INSTANCE}_010203Z"
        self.assertEqual(names, sorted([
            f"{known}.jsonl.gz", f"{known}-2.jsonl.gz", f"{known}-3.jsonl.gz", f"unknown_us-east-1_boot-{boot}_010203Z.jsonl.gz"]))


class OnAmazonLinux(OnAMachine):
    kind = "rpm"

    def test_1_install_upgrade_doctor_export(self):
        self.expect(0, "is in place", self.run_document("install", self.values, "bash"))
        self.assertEqual(self.version(), self.machine.names["VERSION"])
        self.expect(0, "is in place", self.run_document("install", self.values))
        self.expect(0, "is in place", self.run_document("install", self.install_values("sound-later"), "bash"))
        self.assertEqual(self.version(), self.machine.names["LATER_VERSION"])
        self.expect(0, "recorded for .*: COMPLIANT", self.run_document("doctor", {}, "bash"))
        self.machine.must("cli s3 mb s3://fleet-logs")
        self.log(1001)
        self.expect(0, "exported", self.run_document("export", {"Bucket": "fleet-logs"}, "bash"))
        self.assertEqual(len(self.objects()), 2)


if __name__ == "__main__":
    unittest.main()
