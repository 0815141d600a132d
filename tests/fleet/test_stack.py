"""The CloudFormation template: its form, and its life cycle with the real AWS CLI on a mock of AWS.

    python3 -m unittest tests/fleet/test_stack.py

It needs tests/fleet/requirements.txt. moto reports success for resources that it ignores. So each resource is looked up
in its own service. What moto ignored is in IGNORED: only cfn-lint, and the API of the service in another test, checked
these."""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mock_aws import BIN, Mock, Refused  # noqa: E402

PROJECT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "packaging/fleet/cloudformation"
TEMPLATE = FOLDER / "eic-agent-fleet.yaml"
DATA = yaml.safe_load(TEMPLATE.read_text())
RESOURCES = DATA["Resources"]
DIRECT = 51_200  # bytes of a template that CloudFormation takes without a bucket
VALUES = {
    "AlarmEmail": "operator@example.com", "Repository": "https://packages.example.com", "Fingerprint": "A" * 40,
    "ProvisionSha256": "b" * 64, "LogGroupPrefix": "/fleet-test",
}

# Types that moto 5.2 ignores: it reports success and makes nothing. If a later moto makes one of them, the test fails: then
# move it to MADE.
IGNORED = {
    "AWS::Athena::NamedQuery": lambda aws: aws("athena", "list-named-queries")["NamedQueryIds"],
    "AWS::Athena::WorkGroup": lambda aws: [one for one in aws("athena", "list-work-groups")["WorkGroups"] if one["Name"] != "primary"],
    "AWS::CloudWatch::Alarm": lambda aws: aws("cloudwatch", "describe-alarms")["MetricAlarms"],
    "AWS::Glue::Database": lambda aws: aws("glue", "get-databases")["DatabaseList"],
    "AWS::Glue::Table": lambda aws: [table for base in aws("glue", "get-databases")["DatabaseList"]
                                     for table in aws("glue", "get-tables", "--database-name", base["Name"])["TableList"]],
    "AWS::Logs::MetricFilter": lambda aws: aws("logs", "describe-metric-filters")["metricFilters"],
    "AWS::Logs::QueryDefinition": lambda aws: without_api(aws, "logs", "describe-query-definitions"),
    "AWS::S3::BucketPolicy": lambda aws: of_bucket(aws, "get-bucket-policy"),
    "AWS::SNS::Subscription": lambda aws: aws("sns", "list-subscriptions")["Subscriptions"],
    "AWS::SNS::TopicPolicy": lambda aws: [text for text in topic(aws).values() if "TlsOnly" in str(text)],
    "AWS::SSM::Association": lambda aws: without_api(aws, "ssm", "list-associations"),
}
# Properties that moto 5.2 ignores.
IGNORED_OF_BUCKET = {
    "LifecycleConfiguration": "get-bucket-lifecycle-configuration",
    "OwnershipControls": "get-bucket-ownership-controls",
    "PublicAccessBlockConfiguration": "get-public-access-block",
    "VersioningConfiguration": "get-bucket-versioning",
}
MADE = {
    "AWS::CloudWatch::Dashboard": lambda aws: aws("cloudwatch", "list-dashboards")["DashboardEntries"],
    "AWS::IAM::InstanceProfile": lambda aws: aws("iam", "list-instance-profiles")["InstanceProfiles"],
    "AWS::IAM::Role": lambda aws: aws("iam", "list-roles")["Roles"],
    "AWS::Logs::LogGroup": lambda aws: aws("logs", "describe-log-groups")["logGroups"],
    "AWS::S3::Bucket": lambda aws: buckets(aws),
    "AWS::SNS::Topic": lambda aws: aws("sns", "list-topics")["Topics"],
    "AWS::SSM::Document": lambda aws: aws("ssm", "list-documents", "--filters", "Key=Owner,Values=Self")["DocumentIdentifiers"],
}


def buckets(aws):
    return [one["Name"] for one in aws("s3api", "list-buckets")["Buckets"] if one["Name"] != "artifacts"]


def of_bucket(aws, command):
    """What a command says about the bucket. Nothing if there is no such configuration."""
    try:
        said = aws("s3api", command, "--bucket", buckets(aws)[0])
    except Refused as refused:
        assert re.search(r"NoSuch|NotFound", str(refused)), refused
        return []
    return [] if said == {"text": ""} else [said]


def topic(aws):
    return aws("sns", "get-topic-attributes", "--topic-arn", aws("sns", "list-topics")["Topics"][0]["TopicArn"])["Attributes"]


def without_api(aws, *command):
    """For calls that moto does not have at all."""
    try:
        return list(aws(*command).values())[0]
    except Refused as refused:
        assert "(500)" in str(refused), refused
        return []


def of_type(kind, data=DATA):
    return {name: one["Properties"] for name, one in data["Resources"].items() if one["Type"] == kind}


def deploy(aws, template, values):
    """The one command of docs/fleet.md."""
    pairs = [f"{name}={value}" for name, value in values.items()]
    return aws("cloudformation", "deploy", "--stack-name", "fleet", "--template-file", str(template), "--s3-bucket", "artifacts",
               "--capabilities", "CAPABILITY_IAM", *(["--parameter-overrides", *pairs] if pairs else []))


class Template(unittest.TestCase):
    def test_it_is_what_its_sources_give(self):
        run = subprocess.run([sys.executable, FOLDER / "assemble", "--check"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_cfn_lint_finds_nothing(self):
        run = subprocess.run([BIN / "cfn-lint", "--include-checks", "I", "--ignore-checks", "I3011,I3013,I3042", "--", TEMPLATE],
                             capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (0, ""), run.stdout + run.stderr)

    def test_size(self):
        # `deploy` needs --s3-bucket. The limit of a template in a bucket is 1 MB.
        self.assertLess(DIRECT, TEMPLATE.stat().st_size)
        self.assertLess(TEMPLATE.stat().st_size, 1_000_000)

    def test_each_type_is_looked_up(self):
        types = {one["Type"] for one in RESOURCES.values()}
        self.assertEqual(types, set(MADE) | set(IGNORED))
        self.assertFalse(set(MADE) & set(IGNORED))

    def test_every_text_parameter_has_a_pattern(self):
        for name, one in DATA["Parameters"].items():
            with self.subTest(name):
                self.assertTrue({"AllowedPattern", "AllowedValues"} & set(one) or {"MinValue"} & set(one))
                self.assertTrue(one["Description"])
                pattern = one.get("AllowedPattern")
                if pattern:
                    self.assertTrue(re.search(pattern, one["Default"]), pattern)
                    for bad in ("a b'", '"', "$(x)", "`x`", "x;y", "x\ny"):
                        self.assertFalse(re.fullmatch(pattern, bad), bad)

    def test_defaults_and_values_of_the_test_fit(self):
        for name, value in VALUES.items():
            self.assertTrue(re.search(DATA["Parameters"][name]["AllowedPattern"], value), name)

    def test_deletion_keeps_the_audit_data(self):
        kept = {name for name, one in RESOURCES.items() if one.get("DeletionPolicy") == "Retain"}
        self.assertEqual(kept, {"Bucket", "BucketPolicy", "JournalLogGroup", "TextLogGroup"})
        for name in kept:
            self.assertEqual(RESOURCES[name]["UpdateReplacePolicy"], "Retain")
        for name in ("Bucket", "JournalLogs"):
            self.assertIn("stays when the stack is deleted", DATA["Outputs"][name]["Description"])

    def test_bucket_is_private_and_tls_only(self):
        bucket = RESOURCES["Bucket"]["Properties"]
        self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
        self.assertEqual(bucket["VersioningConfiguration"], {"Status": "Enabled"})
        self.assertEqual(bucket["OwnershipControls"], {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
        statements = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        denied = [one for one in statements if one["Effect"] == "Deny"]
        self.assertEqual([one["Condition"] for one in denied],
                         [{"Bool": {"aws:SecureTransport": "false"}}, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}])
        self.assertEqual({one["Principal"] for one in denied}, {"*"})
        for one in statements:
            if one["Effect"] == "Allow":
                self.assertEqual(one["Principal"], {"Service": "cloudtrail.amazonaws.com"})
                self.assertIn("aws:SourceAccount", one["Condition"]["StringEquals"])

    def test_the_role_can_only_add(self):
        role = RESOURCES["InstanceRole"]["Properties"]
        allowed = {"logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "ssm:PutComplianceItems", "s3:PutObject",
                   "s3:AbortMultipartUpload"}
        for policy in role["Policies"]:
            for one in policy["PolicyDocument"]["Statement"]:
                actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
                self.assertLessEqual(set(actions), allowed)

    def test_text_alarms_say_that_anyone_can_set_them_off(self):
        for name, one in of_type("AWS::CloudWatch::Alarm").items():
            self.assertEqual("any local user can write them" in one["AlarmDescription"], name.startswith("Text"), name)
            self.assertEqual(one["TreatMissingData"], "notBreaching")
            self.assertEqual(RESOURCES[name].get("Condition"), "HasTextLogs" if name.startswith("Text") else None)

    def test_alarms_and_dashboard_use_metrics_of_the_filters(self):
        metrics = {(one["MetricNamespace"], one["MetricName"]) for properties in of_type("AWS::Logs::MetricFilter").values()
                   for one in properties["MetricTransformations"]}
        for name, one in of_type("AWS::CloudWatch::Alarm").items():
            self.assertIn((one["Namespace"], one["MetricName"]), metrics, name)
        body = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
        shown = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
        used = {tuple(line[:2]) for line in shown if isinstance(line[0], str)}
        self.assertEqual(used | {("EicAgent", "ByReason")}, metrics)

    def test_documents_are_below_their_limit(self):
        for name, one in of_type("AWS::SSM::Document").items():
            self.assertLess(len(json.dumps(one["Content"])), 64 * 1024, name)
            for parameter, of in one["Content"].get("parameters", {}).items():
                self.assertIn("allowedPattern", of, f"{name}: the script contains {parameter}")


class Stack(unittest.TestCase):
    def test_life_cycle(self):
        with Mock() as aws, tempfile.TemporaryDirectory() as folder:
            aws("s3", "mb", "s3://artifacts")
            # An older template, without documents and dashboard.
            older = copy.deepcopy(DATA)
            for name, one in RESOURCES.items():
                if one["Type"] in ("AWS::SSM::Document", "AWS::SSM::Association", "AWS::CloudWatch::Dashboard"):
                    del older["Resources"][name]
            template = pathlib.Path(folder) / "older.yaml"
            template.write_text(yaml.safe_dump(older))
            deploy(aws, template, VALUES)
            self.assertEqual(self.status(aws), "CREATE_COMPLETE")
            self.made(aws, older)

            deploy(aws, TEMPLATE, {**VALUES, "RefusedThreshold": "7"})
            self.assertEqual(self.status(aws), "UPDATE_COMPLETE")
            self.made(aws, DATA)
            self.details(aws)
            for kind, look in IGNORED.items():
                self.assertEqual(look(aws), [], f"moto makes {kind} now: assert it, and move it to MADE")
            said = re.findall(r"No Moto CloudFormation support for (\S+)", aws.said())
            self.assertEqual(set(said), set(IGNORED))
            for name, command in IGNORED_OF_BUCKET.items():
                self.assertEqual(of_bucket(aws, command), [], f"moto sets {name} now: assert it")

            bucket = buckets(aws)
            aws("s3api", "put-object", "--bucket", bucket[0], "--key", "exports/sessions/day=2026-11-01/x.jsonl.gz")
            aws("cloudformation", "delete-stack", "--stack-name", "fleet")
            with self.assertRaisesRegex(Refused, "does not exist"):
                aws("cloudformation", "describe-stacks", "--stack-name", "fleet")
            kept = {"AWS::S3::Bucket": 1, "AWS::Logs::LogGroup": 2}
            for kind, look in MADE.items():
                # moto does not delete documents that it made for a stack.
                if kind != "AWS::SSM::Document":
                    self.assertEqual(len(look(aws)), kept.get(kind, 0), kind)
            self.assertEqual(buckets(aws), bucket)
            self.assertEqual(len(aws("s3api", "list-objects-v2", "--bucket", bucket[0])["Contents"]), 1)

    def status(self, aws):
        return aws("cloudformation", "describe-stacks", "--stack-name", "fleet")["Stacks"][0]["StackStatus"]

    def made(self, aws, data):
        for kind, look in MADE.items():
            self.assertEqual(len(look(aws)), len(of_type(kind, data)), kind)

    def details(self, aws):
        groups = {one["logGroupName"]: one["retentionInDays"] for one in MADE["AWS::Logs::LogGroup"](aws)}
        self.assertEqual(groups, {"/fleet-test/journal": 90, "/fleet-test/text": 90})
        [rule] = aws("s3api", "get-bucket-encryption", "--bucket", buckets(aws)[0])["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rule["ApplyServerSideEncryptionByDefault"], {"SSEAlgorithm": "AES256"})
        self.assertEqual(topic(aws)["DisplayName"], "eic-agent")
        [role] = MADE["AWS::IAM::Role"](aws)
        [profile] = MADE["AWS::IAM::InstanceProfile"](aws)
        self.assertEqual([one["RoleName"] for one in profile["Roles"]], [role["RoleName"]])
        policies = aws("iam", "list-role-policies", "--role-name", role["RoleName"])["PolicyNames"]
        self.assertEqual(policies, [one["PolicyName"] for one in RESOURCES["InstanceRole"]["Properties"]["Policies"]])
        for policy in policies:
            text = aws("iam", "get-role-policy", "--role-name", role["RoleName"], "--policy-name", policy)["PolicyDocument"]
            self.assertNotIn("${", str(text))
            if policy == "logs":
                self.assertIn("log-group:/fleet-test/journal:*", str(text))
        [dashboard] = MADE["AWS::CloudWatch::Dashboard"](aws)
        body = aws("cloudwatch", "get-dashboard", "--dashboard-name", dashboard["DashboardName"])["DashboardBody"]
        self.assertEqual({one["properties"].get("region", "us-east-1") for one in json.loads(body)["widgets"]}, {"us-east-1"})
        contents = []
        for one in MADE["AWS::SSM::Document"](aws):
            contents.append(aws("ssm", "get-document", "--name", one["Name"])["Content"])
        for name, one in of_type("AWS::SSM::Document").items():
            self.assertIn(one["Content"]["description"], " ".join(str(text) for text in contents).replace("\\n", "\n"), name)
        values = aws("cloudformation", "describe-stacks", "--stack-name", "fleet")["Stacks"][0]["Parameters"]
        self.assertIn({"ParameterKey": "RefusedThreshold", "ParameterValue": "7"}, values)

    def test_what_moto_ignores_in_a_stack_through_the_api_of_its_service(self):
        """boto3 checks the names and types of all parameters. moto then says what it has."""
        with Mock() as aws:
            use = lambda service: boto3.client(service, region_name="us-east-1", endpoint_url=aws.environment["AWS_ENDPOINT_URL"],
                                               aws_access_key_id="x", aws_secret_access_key="x",
                                               config=Config(retries={"total_max_attempts": 1}))
            logs, cloudwatch, s3, sns, glue, athena, ssm = map(use, ("logs", "cloudwatch", "s3", "sns", "glue", "athena", "ssm"))
            resolve = Resolver(DATA, VALUES, {"Bucket": "fleet-bucket", "AlarmTopic": sns.create_topic(Name="alarms")["TopicArn"]})
            for group in of_type("AWS::Logs::LogGroup").values():
                logs.create_log_group(logGroupName=resolve(group["LogGroupName"]))

            filters = {name: resolve(one) for name, one in of_type("AWS::Logs::MetricFilter").items()}
            for name, one in filters.items():
                [transformation] = [lower(of) for of in one["MetricTransformations"]]
                if "dimensions" in transformation:
                    transformation["dimensions"] = {of["Key"]: of["Value"] for of in transformation["dimensions"]}
                logs.put_metric_filter(logGroupName=one["LogGroupName"], filterName=name, filterPattern=one["FilterPattern"],
                                       metricTransformations=[transformation])
            found = {one["filterName"]: (one["logGroupName"], one["filterPattern"]) for page in
                     logs.get_paginator("describe_metric_filters").paginate() for one in page["metricFilters"]}
            self.assertEqual(found, {name: (one["LogGroupName"], one["FilterPattern"]) for name, one in filters.items()})

            alarms = {name: resolve(one) for name, one in of_type("AWS::CloudWatch::Alarm").items()}
            for name, one in alarms.items():
                cloudwatch.put_metric_alarm(AlarmName=name, **one)
            found = {one["AlarmName"]: (one["Namespace"], one["MetricName"], one["Threshold"], one["Period"], one["AlarmActions"])
                     for one in cloudwatch.describe_alarms()["MetricAlarms"]}
            self.assertEqual(found, {name: (one["Namespace"], one["MetricName"], one["Threshold"], 300, [resolve.known["AlarmTopic"]])
                                     for name, one in alarms.items()})

            self.bucket(s3, resolve)
            policy = resolve(RESOURCES["AlarmTopicPolicy"]["Properties"])
            sns.set_topic_attributes(TopicArn=policy["Topics"][0], AttributeName="Policy", AttributeValue=json.dumps(policy["PolicyDocument"]))
            sns.subscribe(**resolve(RESOURCES["AlarmSubscription"]["Properties"]))
            self.assertEqual(len(sns.list_subscriptions()["Subscriptions"]), 1)

            glue.create_database(**resolve(RESOURCES["Database"]["Properties"]))
            tables = {one["TableInput"]["Name"]: one for one in map(resolve, of_type("AWS::Glue::Table").values())}
            for one in tables.values():
                glue.create_table(**one)
            for one in glue.get_tables(DatabaseName="eic_agent")["TableList"]:
                self.assertEqual(one["Parameters"], tables.pop(one["Name"])["TableInput"]["Parameters"])
                template = one["Parameters"]["storage.location.template"]
                self.assertTrue(template.startswith("s3://fleet-bucket/") and "${day}" in template, template)
            self.assertEqual(tables, {})
            group = resolve(RESOURCES["WorkGroup"]["Properties"])
            athena.create_work_group(Name=group["Name"], Description=group["Description"], Configuration=group["WorkGroupConfiguration"])
            queries = {name: resolve(one) for name, one in of_type("AWS::Athena::NamedQuery").items()}
            for one in queries.values():
                self.assertEqual(one["WorkGroup"], group["Name"])
                athena.create_named_query(**one)
                self.assertLess(len(one["QueryString"].encode()), 262_144)
                self.assertNotIn("${", one["QueryString"])
            self.assertEqual(len(athena.list_named_queries(WorkGroup=group["Name"])["NamedQueryIds"]), len(queries))

            # moto has no such calls, so only boto3 has checked the parameters.
            for one in map(resolve, of_type("AWS::Logs::QueryDefinition").values()):
                with self.assertRaisesRegex(ClientError, "500"):
                    logs.put_query_definition(**lower(one))
            for one in map(resolve, of_type("AWS::SSM::Association").values()):
                with self.assertRaisesRegex(ClientError, "500"):
                    ssm.create_association(**one)

    def bucket(self, s3, resolve):
        name = resolve.known["Bucket"]
        s3.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced")
        one = resolve(RESOURCES["Bucket"]["Properties"])
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=one["PublicAccessBlockConfiguration"])
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=one["VersioningConfiguration"])
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=one["OwnershipControls"])
        rules = []
        for rule in one["LifecycleConfiguration"]["Rules"]:
            rule["ID"], rule["Filter"] = rule.pop("Id"), {"Prefix": rule.pop("Prefix", "")}
            if "ExpirationInDays" in rule:
                rule["Expiration"] = {"Days": rule.pop("ExpirationInDays")}
            rules.append(rule)
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
        found = {rule["ID"]: rule.get("Expiration") for rule in s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}
        self.assertEqual(found["exports"], {"Days": 400})
        policy = resolve(RESOURCES["BucketPolicy"]["Properties"])
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy["PolicyDocument"]))
        self.assertIn("arn:aws:s3:::fleet-bucket/*", s3.get_bucket_policy(Bucket=name)["Policy"])


def lower(properties):
    return {key[0].lower() + key[1:]: value for key, value in properties.items()}


class Resolver:
    """Replaces the functions of a template by values."""

    def __init__(self, data, values, made):
        self.data = data
        self.known = {name: values.get(name, one["Default"]) for name, one in data["Parameters"].items()}
        for name, one in data["Parameters"].items():
            if one["Type"] == "CommaDelimitedList":
                self.known[name] = self.known[name].split(",")
        self.known |= {"AWS::AccountId": "123456789012", "AWS::Region": "us-east-1", "AWS::Partition": "aws",
                       "AWS::StackName": "fleet", "AWS::NoValue": None, **made}
        for name, one in data["Resources"].items():
            if name not in self.known:
                names = [of for key, of in one["Properties"].items() if key in ("Name", "LogGroupName") and one["Type"] != "AWS::SSM::Document"]
                self.known[name] = self(names[0]) if names and "Association" not in one["Type"] else name
        self.known["Database"] = self.known["DatabaseName"]

    def __call__(self, value):
        if isinstance(value, list):
            return [self(one) for one in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, of)] = value.items()
            found = getattr(self, function.replace("Fn::", "fn_").lower(), None)
            if found and (function == "Ref" or function.startswith("Fn::")):
                return found(of)
        return {key: self(one) for key, one in value.items()}

    def ref(self, name):
        return self.known[name]

    def fn_sub(self, of):
        text, values = of if isinstance(of, list) else (of, {})
        values = {**self.known, **self(values), "Bucket.Arn": f"arn:aws:s3:::{self.known['Bucket']}"}
        return re.sub(r"\$\{(!?)([^}]+)\}", lambda one: f"${{{one[2]}}}" if one[1] else str(values[one[2]]), text)

    def fn_getatt(self, of):
        assert of == ["Bucket", "Arn"]
        return f"arn:aws:s3:::{self.known['Bucket']}"

    def fn_join(self, of):
        return of[0].join(self(of[1]))

    def fn_findinmap(self, of):
        one, two, three = self(of)
        return self.data["Mappings"][one][two][str(three)]

    def fn_equals(self, of):
        return self(of[0]) == self(of[1])

    def fn_not(self, of):
        return not self(of[0])

    def fn_if(self, of):
        return self(of[1] if self(self.data["Conditions"][of[0]]) else of[2])


if __name__ == "__main__":
    unittest.main()
