"""The report's SQL on DuckDB and on Apache Spark: both give the rows that the generator of the fleet computed.

EIC_FLEET_INSTANCES makes another number of instances than 100. EIC_FLEET_SPARK=no leaves Spark out.
"""

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
import functions  # noqa: E402
import generator  # noqa: E402
import sqltext  # noqa: E402
import sqlglot  # noqa: E402
from sqlglot import exp  # noqa: E402

INSTANCES = int(os.environ.get("EIC_FLEET_INSTANCES", "100"))
WITH_SPARK = os.environ.get("EIC_FLEET_SPARK", "yes") != "no"
REPORT = engines.FOLDER / "report"


def texts():
    """Every text that all engines run."""
    return {**{f"steps/{name}": text for name, text in sqltext.steps().items()},
            **{f"queries/{name}": text for name, text in sqltext.queries().items()}}


def ordered(rows):
    return sorted(rows, key=lambda row: [(value is None, str(value)) for value in row])


def values_of(start, end, **others):
    return sqltext.parameters(start, end, end + datetime.timedelta(days=9), **others)


class Texts(unittest.TestCase):
    """The texts themselves."""

    def test_every_function_is_checked(self):
        values = values_of(generator.START, generator.START + generator.DAY)
        for name, text in texts().items():
            tree = sqlglot.parse_one(sqltext.filled(sqltext.without_comments(text), values), read="athena")
            for found in tree.find_all(exp.Func):
                self.assertNotIsInstance(found, exp.Anonymous, f"{name}: sqlglot does not know {found}")
                self.assertTrue(functions.CHECKED.get(type(found).__name__),
                                f"{name}: add cases for {type(found).__name__}: {found.sql('athena')}")
            for found in functions.REFUSED:
                self.assertNotIn(f"{found}(", text.upper(), name)

    def test_every_order_says_where_null_is(self):
        values = values_of(generator.START, generator.START + generator.DAY)
        never_null = {"id", "kind", "file", "final", "choice", "place", "why", "principal", "weekday", "boot_id", "hour", "names_other"}
        for name, text in texts().items():
            text = sqltext.filled(sqltext.without_comments(text), values)
            for part in text.split("ORDER BY")[1:]:
                depth, item, items = 0, "", []
                for sign in part:
                    depth += (sign == "(") - (sign == ")")
                    if depth < 0 or "ROWS" in item:
                        break
                    if sign == "," and depth == 0:
                        items.append(item)
                        item = ""
                    else:
                        item += sign
                for item in [*items, item.partition("ROWS")[0]]:
                    first = item.split()[0] if item.split() else ""
                    known = first.rpartition(".")[2] in never_null or first.isdigit() or first.startswith("CARDINALITY")
                    self.assertTrue("NULLS " in item or known or "instance_id" in item, f"{name}: {item}")

    def test_each_query_says_its_columns(self):
        for name, text in sqltext.queries().items():
            title, explains, columns = sqltext.about(text)
            self.assertTrue(title and explains.endswith("."), name)
            self.assertLessEqual({kind for _, kind in columns}, {"text", "integer", "instant", "boolean"}, name)

    def test_queries_for_athena_are_whole(self):
        tables = {"raw_sessions", "raw_doctor", "raw_trail", "raw_permissions"}
        period = values_of(generator.START, generator.START + generator.DAY)
        for values in (period, sqltext.rolling(30)):
            for name in sqltext.queries():
                text = sqltext.whole(name, values)
                self.assertNotIn("${", text)
                tree = sqlglot.parse_one(text, read="athena")
                made = {cte.alias for cte in tree.find_all(exp.CTE)}
                self.assertLessEqual({table.name for table in tree.find_all(exp.Table)} - made, tables, name)
        self.assertEqual(len(sqltext.athena_tables()), 4)

    def test_help_and_wrong_arguments(self):
        run = lambda *arguments: subprocess.run([sys.executable, REPORT, *arguments], capture_output=True, text=True)
        self.assertIn("aws s3 sync", run("--help").stdout)
        for arguments in (["."], [".", "--from", "2026-10-02", "--to", "2026-10-01"], ["--tables"],
                          [".", "--from", "2026-10-01", "--to", "2026-10-02", "--time-zone", "Mars/Base'"],
                          [".", "--from", "2026-10-01", "--to", "2026-10-02", "--office-hours", "18-8"],
                          ["/nowhere", "--from", "2026-10-01", "--to", "2026-10-02"]):
            ran = run(*arguments)
            self.assertEqual(ran.returncode, 2, f"{arguments}: {ran.stdout}{ran.stderr}")
            self.assertTrue(ran.stderr.startswith("report: "), ran.stderr)


class Permissions(unittest.TestCase):
    def test_list_with_a_failed_call_is_not_printed(self):
        for call in ("iam list-users", "iam list-roles", "user/bob "):
            with self.subTest(call=call), tempfile.TemporaryDirectory() as work:
                aws = pathlib.Path(work, "aws")
                aws.write_text(f"""#!/bin/sh
                    case "$*" in
                        *"{call}"*) exit 254 ;;
                        "sts get-caller-identity"*) echo 123456789012 ;;
                        "iam list-users"*) printf 'arn:aws:iam::123456789012:user/%s\\n' alice bob carol ;;
                        "iam list-roles"*) echo arn:aws:iam::123456789012:role/Admin ;;
                        *) echo allowed ;;
                    esac\n""")
                aws.chmod(0o755)
                environment = {**os.environ, "PATH": f"{work}:{os.environ['PATH']}"}
                ran = subprocess.run([REPORT.parent / "permissions"], env=environment, capture_output=True, text=True)
                self.assertNotEqual(ran.returncode, 0)
                self.assertEqual(ran.stdout, "")

    def test_program_prints_a_line_for_each_user_and_role(self):
        with tempfile.TemporaryDirectory() as work:
            aws = pathlib.Path(work, "aws")
            aws.write_text("""#!/bin/sh
                case "$*" in
                    "sts get-caller-identity"*) echo 123456789012 ;;
                    "iam list-users"*) printf '%s\\n' arn:aws:iam::123456789012:user/alice arn:aws:iam::123456789012:user/x=+,.@_- ;;
                    "iam list-roles"*) printf '%s\\n' arn:aws:iam::123456789012:role/team/Admin \
                        arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/X ;;
                    *simulate*"user/alice "*) echo allowed ;;
                    *simulate*) echo implicitDeny ;;
                    *) exit 9 ;;
                esac\n""")
            aws.chmod(0o755)
            environment = {**os.environ, "PATH": f"{work}:{os.environ['PATH']}"}
            printed = subprocess.run([REPORT.parent / "permissions"], env=environment, check=True, capture_output=True, text=True)
        lines = [json.loads(line) for line in printed.stdout.splitlines()]
        self.assertEqual([(line["principal"].rpartition(":")[2], line["decision"]) for line in lines],
                         [("user/alice", "allowed"), ("user/x=+,.@_-", "implicitDeny"), ("role/team/Admin", "implicitDeny")])
        self.assertEqual({(line["account"], line["action"]) for line in lines},
                         {("123456789012", "ec2-instance-connect:SendSSHPublicKey")})


class Functions(unittest.TestCase):
    def check(self, run, engine):
        for name, cases in functions.CHECKED.items():
            for expression, expected, *source in cases:
                text = f"SELECT {expression} AS v" + (f" FROM {source[0]}" if source else "")
                sql = sqlglot.transpile(text, read="athena", write=engine)[0]
                with self.subTest(engine=engine, function=name, sql=sql):
                    self.assertEqual(run(sql), expected)

    def test_duckdb_has_the_values_of_athena(self):
        import duckdb
        base = duckdb.connect()
        base.execute("SET TimeZone = 'UTC'")
        self.check(lambda sql: base.execute(sql).fetchone()[0], "duckdb")


class Fleet(unittest.TestCase):
    """A generated fleet: every row of every query."""

    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.fleet = generator.Fleet(cls.work / "bucket", INSTANCES)
        cls.answers = cls.fleet.write()
        cls.values = values_of(generator.START, cls.fleet.end, zone=cls.fleet.zone, office=cls.fleet.office)

    def check(self, engine):
        for name in sqltext.queries():
            with self.subTest(engine=engine.name, query=name):
                rows, expected = list(engine.run(name)), self.answers.rows.get(name, [])
                self.assertTrue(rows)
                if name == "coverage":
                    totals = {tuple(row[:2]): row[2] for row in rows if row[3] is None and row[4] is None}
                    self.totals(totals)
                    rows = [row for row in rows if row[3] is not None]
                rows, expected = ordered(rows), ordered(expected)
                for row, other in zip(rows, expected):
                    self.assertEqual(row, other)
                self.assertEqual(len(rows), len(expected))
        print(f"{engine.name}: " + ", ".join(f"{name} {took:.1f} s" for name, took in engine.times.items()))

    def totals(self, found):
        total = self.answers.total
        for (subject, finding), expected in {
            ("sessions", "files"): total["files"], ("sessions", "lines"): total["lines"],
            ("sessions", "lines that cannot be read"): total["unreadable"],
            ("sessions", "lines of older versions"): total["older"],
            ("sessions", "lines of newer versions"): total["newer"],
            ("sessions", "lines that repeat an event"): total["repeated"],
            ("sessions", "lines that name another instance than their file"): total["forged"],
            ("sessions", "files without a finished export"): total["unfinished"],
            ("doctor", "files"): total["doctor"], ("cloudtrail", "files"): total["trail files"],
            ("cloudtrail", "records"): total["records"], ("permissions", "lines"): total["permissions"],
            ("cloudtrail", "records and files that cannot be read"): 1, ("permissions", "lines that cannot be read"): 1,
        }.items():
            self.assertEqual(found[subject, finding], expected, finding)

    def test_duckdb_has_the_rows_of_the_generator(self):
        self.check(engines.DuckDB(self.fleet.folder, self.values, self.work))

    def test_views_of_athena_read_the_same(self):
        """Nobody runs Athena here. So its views run on DuckDB, and must read the same from the same files."""
        fleet = engines.DuckDB(self.fleet.folder, self.values, self.work).fleet
        day = {"trail": "'/([0-9]{4}/[0-9]{2}/[0-9]{2})/'"}
        for table, kind in {"raw_sessions": "session", "raw_doctor": "doctor", "raw_trail": "trail",
                            "raw_permissions": "permission"}.items():
            files = "[" + ", ".join(map(engines.report.quoted, fleet.files[kind])) + "]"
            pattern = day.get(kind, "'day=([0-9-]{10})'")
            fleet.base.execute(
                f"CREATE TABLE {table} AS SELECT line, regexp_extract(filename, {pattern}, 1) AS day, "
                f"regexp_extract(filename, '((exports|AWSLogs)/.*)$', 1) AS \"$path\" FROM read_csv({files}, delim = '\x01', "
                "quote = '', escape = '', header = false, columns = {'line': 'VARCHAR'}, filename = true, auto_detect = false, "
                "strict_mode = false, max_line_size = 50000000, null_padding = true)")
        for name, text in sqltext.athena_views().items():
            sql = sqlglot.transpile(sqltext.filled(text, self.values), read="athena", write="duckdb")[0]
            fleet.base.execute(f"CREATE TABLE athena_{name} AS {sql}")
            columns = fleet.base.execute(f"DESCRIBE {name}").fetchall()
            columns = ", ".join(f"CAST({column[0]} AS varchar)" for column in columns)
            for one, other in ((name, f"athena_{name}"), (f"athena_{name}", name)):
                differing = fleet.base.execute(f"SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other} LIMIT 3")
                self.assertEqual(differing.fetchall(), [], one)

    @unittest.skipUnless(WITH_SPARK, "EIC_FLEET_SPARK=no")
    def test_spark_has_the_rows_of_the_generator(self):
        spark = engines.Spark(self.fleet.folder, self.values, self.work)
        self.addCleanup(spark.close)
        self.check(spark)
        Functions.check(self, lambda sql: spark.session.sql(sql).collect()[0][0], "spark")


class Program(unittest.TestCase):
    def test_results_are_bounded_and_name_the_files_that_cannot_be_read(self):
        work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-test-"))
        self.addCleanup(shutil.rmtree, work)
        fleet = generator.Fleet(work / "bucket", 3, days=2)
        answers = fleet.write()
        day = fleet.folder / f"exports/sessions/day={generator.START + generator.DAY:%Y-%m-%d}"
        for name, content in {"cut": gzip.compress(os.urandom(9000))[:60], "no-gzip": b"{}", "long": gzip.compress(b'"' + b"x" * 100_000_000),
                              "[a]*?": gzip.compress(b"{}"), "it's": gzip.compress(b"\xff\xfe\n")}.items():
            (day / f"100000000000_us-east-1_{name}_000000Z.jsonl.gz").write_bytes(content)
        out = work / "results.json"
        ran = subprocess.run([sys.executable, REPORT, fleet.folder, "--from", "2026-10-01", "--to", "2026-10-03", "--rows", "50",
                              "--time-zone", fleet.zone, "--out", out, "--work", work], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        results = json.loads(out.read_text())
        self.assertEqual([result["name"] for result in results["results"]], list(sqltext.queries()))
        for result in results["results"]:
            self.assertLessEqual(len(result["rows"]), 50)
            self.assertEqual(result["truncated"], result["total"] > len(result["rows"]))
            if result["name"] != "coverage":
                self.assertEqual(result["total"], answers.count.get(result["name"], 0), result["name"])
        damaged = [row[4].rpartition("_us-east-1_")[2] for row in results["results"][-1]["rows"] if row[0] == "files"]
        self.assertEqual({name.partition("_")[0] for name in damaged}, {"cut", "no-gzip", "long", "[a]*?"}, damaged)


def real():
    """What the test `real_exports_and_records_make_a_bucket_for_the_report` of the suite made, now or when recorded."""
    folder = os.environ.get("EIC_FLEET_BUCKET") or engines.FOLDER.parents[2] / "tests/fixtures/fleet"
    (day,) = pathlib.Path(folder, "exports/sessions").iterdir()
    begin = datetime.datetime.fromisoformat(day.name.partition("=")[2])
    return str(folder), values_of(begin - generator.DAY, begin + generator.DAY)


class Real(unittest.TestCase):
    """Lines of the real agent and records of the emulator."""

    def check(self, engine):
        rows = {name: [dict(zip((column for column, _ in sqltext.about(text)[2]), row)) for row in engine.run(name)]
                for name, text in sqltext.queries().items()}
        (login,) = rows["logins"]
        self.assertEqual((login["user"], login["instance_id"], login["verified"], login["cloudtrail"]),
                         ("ec2-user", "i-0123456789abcdef0", True, "found"))
        self.assertEqual((login["principal"], login["account"], login["region"], login["mfa"]),
                         ("arn:aws:iam::123456789012:user/alice", "123456789012", "us-east-1", None))
        self.assertTrue(login["end"] and login["request_id"] and login["cloudtrail_address"])
        (push,) = rows["pushes_without_login"]
        self.assertNotEqual(push["request_id"], login["request_id"])
        # The export was made within ten minutes of the push. So a login may still come.
        self.assertEqual((push["user"], push["why"]), ("ec2-user", "unknown: no export covers that time"))
        self.assertEqual({row["reason"] for row in rows["refusals"]}, {"expired"})
        (other,) = rows["other_means"]
        self.assertEqual((other["user"], other["method"]), ("admin", "publickey"))
        self.assertEqual(rows["logins_without_push"], [])
        found = {(row["subject"], row["finding"]): row["count"] for row in rows["coverage"]}
        self.assertEqual((found["sessions", "lines that cannot be read"], found["cloudtrail", "pushes and tunnels"]), (0, 2))
        self.assertEqual(found["sessions", "lines of older versions"], 0)
        self.assertEqual(found["permissions", "lines"], None)
        return rows

    def test_both_engines_answer_from_a_real_export(self):
        folder, values = real()
        with tempfile.TemporaryDirectory() as work:
            self.check(engines.DuckDB(folder, values, work))
            if WITH_SPARK:
                for name in ("permissions", "doctor"):
                    pathlib.Path(work, "bucket/exports", name).mkdir(parents=True)
                shutil.copytree(folder, f"{work}/bucket", dirs_exist_ok=True)
                pathlib.Path(work, "bucket/exports/permissions/day=2026-01-01").mkdir()
                pathlib.Path(work, "bucket/exports/permissions/day=2026-01-01/none.jsonl").touch()
                spark = engines.Spark(f"{work}/bucket", values, work)
                self.addCleanup(spark.close)
                self.check(spark)


class Nothing(unittest.TestCase):
    def test_empty_bucket_has_no_figure_that_is_zero(self):
        with tempfile.TemporaryDirectory() as work:
            os.mkdir(f"{work}/bucket")
            engine = engines.DuckDB(f"{work}/bucket", values_of(generator.START, generator.START + generator.DAY), work)
            for name in sqltext.queries():
                rows = list(engine.run(name))
                if name == "coverage":
                    self.assertEqual({row[2] for row in rows}, {None}, rows)
                else:
                    self.assertEqual(rows, [], name)


if __name__ == "__main__":
    unittest.main()
