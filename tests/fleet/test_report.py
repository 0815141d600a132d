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
        never_null = {"id", "kind", "file", "final", "choice", "place", "why", "principal", "weekday", "boot_id", "hour"}
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
            ("sessions", "files without a finished export"): total["unfinished"],
            ("doctor", "files"): total["doctor"], ("cloudtrail", "files"): total["trail files"],
            ("cloudtrail", "records"): total["records"], ("permissions", "lines"): total["permissions"],
            ("cloudtrail", "records and files that cannot be read"): 1, ("permissions", "lines that cannot be read"): 1,
        }.items():
            self.assertEqual(found[subject, finding], expected, finding)

    def test_duckdb_has_the_rows_of_the_generator(self):
        self.check(engines.DuckDB(self.fleet.folder, self.values, self.work))

    @unittest.skipUnless(WITH_SPARK, "EIC_FLEET_SPARK=no")
    def test_spark_has_the_rows_of_the_generator(self):
        spark = engines.Spark(self.fleet.folder, self.values, self.work)
        self.addCleanup(spark.close)
        self.check(spark)
        Functions.check(self, lambda sql: spark.session.sql(sql).collect()[0][0], "spark")

    def test_program_writes_bounded_results(self):
        # A file whose compression is damaged is named, and the others are read.
        day = self.fleet.folder / f"exports/sessions/day={generator.START + generator.DAY:%Y-%m-%d}"
        damaged = day / "100000000000_us-east-1_i-0000000000000bad0_000000Z.jsonl.gz"
        damaged.write_bytes(gzip.compress(b'{"kind":"session"}\n' * 9000)[:60])
        self.addCleanup(damaged.unlink)
        out = self.work / "results.json"
        subprocess.run([sys.executable, REPORT, self.fleet.folder, "--from", "2026-10-01", "--to", "2026-10-31", "--rows", "50",
                        "--time-zone", self.fleet.zone, "--out", out, "--work", self.work], check=True, capture_output=True)
        results = json.loads(out.read_text())
        self.assertEqual([result["name"] for result in results["results"]], list(sqltext.queries()))
        for result in results["results"]:
            self.assertLessEqual(len(result["rows"]), 50)
            self.assertEqual(result["truncated"], result["total"] > len(result["rows"]))
            if result["name"] != "coverage":
                self.assertEqual(result["total"], len(self.answers.rows.get(result["name"], [])), result["name"])
        self.assertEqual(results["results"][-1]["rows"][0][:3], ["files", "damaged: the compression ends early or is wrong", 1])


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
