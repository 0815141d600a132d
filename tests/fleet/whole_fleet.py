"""Makes a fleet of any size, runs the report on both engines, compares each result with the generator's count and
checksum, and prints the times. It is no test of CI: 10,000 instances of 30 days are 20 million events.

    python3 tests/fleet/whole_fleet.py FOLDER INSTANCES [duckdb] [spark]
"""

import datetime
import json
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import engines  # noqa: E402
import generator  # noqa: E402
import sqltext  # noqa: E402


def main():
    folder, instances, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or ["duckdb", "spark"]
    fleet = generator.Fleet(folder / "bucket", instances, keep=False)
    known = folder / "answers.json"
    if not known.exists():
        began = time.monotonic()
        answers = fleet.write()
        known.write_text(json.dumps({"count": answers.count, "sum": answers.sum, "total": answers.total}))
        print(f"made in {time.monotonic() - began:.0f} s: {answers.total}", flush=True)
    answers = json.loads(known.read_text())
    values = sqltext.parameters(generator.START, fleet.end, fleet.end + datetime.timedelta(days=9), zone=fleet.zone, office=fleet.office)
    wrong = 0
    for name in wanted:
        work = folder / f"work-{name}"
        work.mkdir()
        began = time.monotonic()
        engine = {"duckdb": engines.DuckDB, "spark": engines.Spark}[name](folder / "bucket", values, work)
        print(f"{name}: read in {time.monotonic() - began:.1f} s: { {key: round(took, 1) for key, took in engine.times.items()} }", flush=True)
        for query in sqltext.queries():
            count, total = 0, 0
            began = time.monotonic()
            for row in engine.run(query):
                if query != "coverage" or row[3] is not None:
                    count, total = count + 1, total + generator.checksum(row)
            same = (count, total) == (answers["count"][query], answers["sum"][query])
            wrong += not same
            print(f"{name}: {query:22} {engine.times[f'query {query}']:7.1f} s  {count:9} rows  "
                  f"{'as expected' if same else 'OTHER ROWS'}  ({time.monotonic() - began:.1f} s with all rows read)", flush=True)
        print(f"{name}: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB at most in the client", flush=True)
        if name == "spark":
            engine.close()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
