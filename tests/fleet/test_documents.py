"""The commands of docs/fleet.md work: on a mock of AWS, or, where it has no such service, as far as AWS CLI checks them."""

import gzip
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import generator
import yaml
from cfnlint.decode import cfn_yaml
from mock_aws import BIN, Mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/fleet.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```$", TEXT, re.M | re.S)


def block(first):
    """The block of the page that begins with this line."""
    found = [one for one in BLOCKS if one.startswith(first)]
    assert len(found) == 1, f"expected one block that begins with {first!r}, found {len(found)}"
    return found[0]


def run(script, environment, folder=ROOT):
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                         capture_output=True, text=True)
    assert ran.returncode == 0, f"{script}\nended with {ran.returncode}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def anywhere(script):
    """The script with paths that also work in another folder. The report runs with the Python of the tests."""
    folder = f"{ROOT}/packaging/fleet/report/"
    return script.replace("packaging/fleet/report/", folder).replace(f"{folder}report ", f"{sys.executable} {folder}report ")


class OnTheMock(unittest.TestCase):
    """One account, from the stack to an instance that Systems Manager manages."""

    @classmethod
    def setUpClass(cls):
        cls.mock = cls.enterClassContext(Mock())
        cls.mock("s3api", "create-bucket", "--bucket", "templates")
        run(block("# the stack of an account and a region").replace("TEMPLATES", "templates"), cls.mock.environment)
        # moto gives no outputs of a stack, so their values come from the services.
        [bucket] = [one["Name"] for one in cls.mock("s3api", "list-buckets")["Buckets"] if one["Name"] != "templates"]
        [profile] = cls.mock("iam", "list-instance-profiles")["InstanceProfiles"]
        cls.outputs = {"Bucket": bucket, "InstanceProfile": profile["InstanceProfileName"]}

    def test_stack_names_what_the_page_says(self):
        template = yaml.safe_load((ROOT / "packaging/fleet/cloudformation/eic-agent-fleet.yaml").read_text(encoding="utf-8"))
        for name in (*self.outputs, "WorkGroup"):
            self.assertEqual(template["Outputs"][name]["Value"], {"Ref": name})

    def test_trail_is_logging(self):
        run(block("# a trail into the bucket of the stack").replace("BUCKET", self.outputs["Bucket"]), self.mock.environment)
        self.assertTrue(self.mock("cloudtrail", "get-trail-status", "--name", "eic-agent-fleet")["IsLogging"])

    def test_instance_joins_the_fleet(self):
        image = self.mock("ec2", "describe-images")["Images"][0]["ImageId"]
        instance = self.mock("ec2", "run-instances", "--image-id", image)["Instances"][0]["InstanceId"]
        script = block("# an instance joins the fleet").replace("i-0123456789abcdef0", instance)
        run(script.replace("PROFILE", self.outputs["InstanceProfile"]), self.mock.environment)
        found = self.mock("ec2", "describe-instances", "--filters", "Name=tag:eic-agent,Values=managed")
        self.assertEqual([one["InstanceId"] for group in found["Reservations"] for one in group["Instances"]], [instance])

    def test_launch_template_is_created(self):
        with tempfile.TemporaryDirectory() as folder:
            script = block("# new instances: a launch template").replace("PROFILE", self.outputs["InstanceProfile"])
            script = script.replace("launch-template.json", f"{folder}/launch-template.json")
            run(script, self.mock.environment)
        found = self.mock("ec2", "describe-launch-template-versions", "--launch-template-name", "eic-agent")
        data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        self.assertEqual(data["MetadataOptions"]["HttpTokens"], "required")

    def test_report_is_made_from_the_bucket(self):
        with tempfile.TemporaryDirectory() as folder:
            generator.Fleet(f"{folder}/made", 10, days=3).write()
            bucket = self.outputs["Bucket"]
            self.mock("s3", "sync", f"{folder}/made", f"s3://{bucket}")
            script = block("# the report of a month, on a laptop").replace("BUCKET", bucket)
            script = script.replace("2026-11-01", "2026-10-01").replace("2026-12-01", "2026-10-04")
            run(anywhere(script), self.mock.environment, folder)
            results = json.loads((pathlib.Path(folder) / "results.json").read_text(encoding="utf-8"))["results"]
            self.assertTrue(next(one for one in results if one["name"] == "logins")["rows"])
            page = (pathlib.Path(folder) / "report.html").read_text(encoding="utf-8")
        said = set(re.findall(r"`([a-z_]+)`", TEXT[TEXT.index("| query | answers |"):TEXT.index("`unused_permissions` needs")]))
        self.assertEqual(said, {one["name"] for one in results}, "the table of the queries")
        self.assertIn("Who logged in where", page)

    def test_principals_that_may_push_are_collected(self):
        user = self.mock("iam", "create-user", "--user-name", "alice")["User"]["Arn"]
        bucket = self.outputs["Bucket"]
        # moto has no simulation of policies.
        with tempfile.TemporaryDirectory() as folder:
            aws = pathlib.Path(folder) / "aws"
            aws.write_text(f'#!/bin/sh\n[ "$2" != simulate-principal-policy ] || {{ echo allowed; exit; }}\nexec {BIN}/aws "$@"\n')
            aws.chmod(0o755)
            environment = {**self.mock.environment, "PATH": f"{folder}:{self.mock.environment['PATH']}"}
            script = anywhere(block("# who may push a key").replace("BUCKET", bucket))
            run(script, environment, folder)
            [found] = self.mock("s3api", "list-objects-v2", "--bucket", bucket, "--prefix", "exports/permissions/")["Contents"]
            self.assertRegex(found["Key"], r"^exports/permissions/day=\d{4}-\d\d-\d\d/\d{6}Z\.jsonl\.gz$")
            self.mock("s3", "cp", f"s3://{bucket}/{found['Key']}", f"{folder}/list.gz")
            lines = [json.loads(line) for line in gzip.open(f"{folder}/list.gz", "rt", encoding="utf-8")]
        self.assertIn((user, "allowed"), {(line["principal"], line["decision"]) for line in lines})

    def test_partial_list_of_principals_is_not_uploaded(self):
        self.mock("iam", "create-user", "--user-name", "bob")
        self.mock("iam", "create-user", "--user-name", "carol")
        bucket = self.outputs["Bucket"]
        keys = lambda: [one["Key"] for one in self.mock("s3api", "list-objects-v2", "--bucket", bucket, "--prefix",
                                                        "exports/permissions/").get("Contents", [])]
        before = keys()
        with tempfile.TemporaryDirectory() as folder:
            aws = pathlib.Path(folder) / "aws"
            # IAM throttles the call for one user only.
            aws.write_text('#!/bin/sh\n[ "$2" != simulate-principal-policy ] || case "$*" in *user/carol*) exit 254 ;; '
                           f'*) echo allowed; exit ;; esac\nexec {BIN}/aws "$@"\n')
            aws.chmod(0o755)
            environment = {**self.mock.environment, "PATH": f"{folder}:{self.mock.environment['PATH']}"}
            script = anywhere(block("# who may push a key").replace("BUCKET", bucket))
            # A terminal has neither `set -e` nor `pipefail`.
            ran = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
        self.assertNotEqual(ran.returncode, 0)
        self.assertEqual(keys(), before)


class Offline(unittest.TestCase):
    """moto does not have these parts of AWS."""

    def test_commands_about_compliance_are_those_of_the_cli(self):
        script = block("# what doctor found on the fleet")
        commands = re.findall(r"^aws (?:.*\\\n)*.*$", script, re.M)
        self.assertEqual(len(commands), 2)
        for command in commands:
            run(command + " --generate-cli-skeleton output", {"PATH": f"{BIN}:/usr/bin:/bin", "AWS_DEFAULT_REGION": "us-east-1"})

    def test_page_is_made_from_answers_of_athena(self):
        answer = {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": [{"Name": "start", "Type": "varchar"}]},
                                "Rows": [{"Data": [{"VarCharValue": "start"}]}, {"Data": [{"VarCharValue": "2026-11-02T01:02:03Z"}]}]}}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / "answers").mkdir()
            aws = path / "aws"
            aws.write_text(f"#!/bin/sh\n{BIN}/aws \"$@\" --generate-cli-skeleton output >/dev/null || exit\ncat {path}/answer\n")
            aws.chmod(0o755)
            (path / "answer").write_text(json.dumps(answer))
            script = anywhere(block("# the page from answers of Athena")).replace(" ID ", " 00000000-0000-4000-8000-000000000000 ")
            run(script, {"PATH": f"{folder}:{BIN}:/usr/bin:/bin", "AWS_DEFAULT_REGION": "us-east-1"}, folder)
            self.assertIn("2026-11-02", (path / "report.html").read_text(encoding="utf-8"))

    def test_text_of_a_query_is_printed(self):
        printed = run(anywhere(block("# the text of a query for Athena")), {"PATH": "/usr/bin:/bin"})
        for part in ("AT TIME ZONE", "2026-11-01", "raw_sessions"):
            self.assertIn(part, printed)

    def test_playbook_takes_these_values(self):
        script = block("# Ansible: one host first").replace("HOSTS", "localhost, --syntax-check")
        run(script, {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": tempfile.gettempdir(), "LC_ALL": "C.UTF-8"})

    def test_template_of_images_is_valid_and_takes_these_values(self):
        script = block("# images: a pipeline of EC2 Image Builder")
        with tempfile.TemporaryDirectory() as folder:
            made, command = script.split("aws cloudformation deploy", 1)
            run(made.replace("pipeline.yaml", f"{folder}/pipeline.yaml"), {"PATH": "/usr/bin:/bin"})
            run(f"{BIN}/cfn-lint {folder}/pipeline.yaml", {"PATH": "/usr/bin:/bin", "HOME": folder})
            parameters = cfn_yaml.load(f"{folder}/pipeline.yaml")["Parameters"]
        given = set(re.findall(r"(\w+)=", command.split("--parameter-overrides")[1]))
        self.assertLessEqual(given, set(parameters))
        self.assertLessEqual({name for name, one in parameters.items() if "Default" not in one}, given)
