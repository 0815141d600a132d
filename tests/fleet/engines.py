"""Runs the report's SQL on DuckDB, as the program does, and on Apache Spark."""

import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "packaging/fleet/report"
sys.path.insert(0, str(FOLDER))
import sqltext  # noqa: E402


def program():
    """The program `report` as a module."""
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("report", str(FOLDER / "report"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("report", loader))
    loader.exec_module(module)
    return module


report = program()


def rows_of(name, rows):
    """The rows, each value as its column says."""
    kinds = {"integer": int, "boolean": bool}
    columns = sqltext.about(sqltext.queries()[name])[2]
    for row in rows:
        assert len(row) == len(columns), (name, row)
        yield [None if value is None else kinds.get(kind, str)(value) for value, (_, kind) in zip(row, columns)]


class DuckDB:
    name = "duckdb"

    def __init__(self, folder, values, work, memory="4GB"):
        self.fleet = report.Fleet(str(folder), values, memory, str(work))
        self.times = dict(self.fleet.times)

    def run(self, name):
        began = time.monotonic()
        cursor = self.fleet.base.execute(report.transpiled(sqltext.queries()[name], self.fleet.values, "duckdb"))
        batch = cursor.fetchmany(10_000)
        self.times[f"query {name}"] = time.monotonic() - began
        while batch:
            yield from rows_of(name, batch)
            batch = cursor.fetchmany(10_000)


class Spark:
    name = "spark"

    def __init__(self, folder, values, work, master="local-cluster[2,1,2048]"):
        from pyspark.sql import SparkSession
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master(master).appName("fleet")
        for key, value in {
            "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true", "spark.driver.memory": "2g",
            "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.warehouse.dir": f"{work}/warehouse", "spark.local.dir": f"{work}/spill",
            "spark.sql.shuffle.partitions": "8", "spark.sql.files.openCostInBytes": "16384",
            "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
            "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        }.items():
            builder = builder.config(key, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")
        self.values, self.times = {**values, "data": str(folder)}, {}
        for text in sqltext.statements("spark"):
            self.session.sql(sqltext.filled(text, self.values))
        for name, text in sqltext.steps().items():
            began = time.monotonic()
            self.session.sql(f"CREATE TABLE {name} USING parquet AS {report.transpiled(text, self.values, 'spark')}")
            self.times[name] = time.monotonic() - began

    def run(self, name):
        began = time.monotonic()
        frame = self.session.sql(report.transpiled(sqltext.queries()[name], self.values, "spark"))
        rows = frame.collect()
        self.times[f"query {name}"] = time.monotonic() - began
        yield from rows_of(name, rows)

    def close(self):
        self.session.stop()
