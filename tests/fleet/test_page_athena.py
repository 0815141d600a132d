"""Gives from-athena what `aws athena get-query-results` prints, and compares the rows of its output."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import page_example  # noqa: E402
from page_browser import REPORT, made, result  # noqa: E402


class Athena(unittest.TestCase):
    TYPES = {"text": "varchar", "instant": "varchar", "integer": "bigint", "boolean": "boolean"}

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="athena-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def answer(self, given):
        def datum(value):
            shown = str(value).lower() if isinstance(value, bool) else value
            return {} if value is None else {"VarCharValue": str(shown)}

        names = [column["name"] for column in given["columns"]]
        about = [
            {
                "CatalogName": "hive",
                "SchemaName": "",
                "TableName": "",
                "Name": column["name"],
                "Label": column["name"],
                "Type": self.TYPES[column["type"]],
                "Precision": 19,
                "Scale": 0,
                "Nullable": "UNKNOWN",
                "CaseSensitive": False,
            }
            for column in given["columns"]
        ]
        return {
            "UpdateCount": 0,
            "ResultSet": {
                "Rows": [{"Data": [datum(value) for value in row]} for row in [names, *given["rows"]]],
                "ResultSetMetadata": {"ColumnInfo": about},
            },
        }

    def convert(self, *parameters):
        return subprocess.run(
            [sys.executable, str(REPORT / "from-athena"), *parameters, str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )

    def test_answers_become_the_same_rows(self):
        document = page_example.example(
            [text for text in page_example.HOSTILE if "\ud800" not in text] + [""]
        )
        for given in document["results"]:
            (self.folder / f"{given['name']}.json").write_text(json.dumps(self.answer(given)), encoding="utf-8")
        done = self.convert("made_at=2026-10-31T06:00:00Z", "time_zone=Europe/Berlin", "office_hours=[8,18]")
        self.assertEqual(done.stderr, b"")
        read = json.loads(done.stdout)
        self.assertEqual((read["made_at"], read["engine"]), ("2026-10-31T06:00:00Z", "Athena"))
        self.assertEqual(read["parameters"], {"time_zone": "Europe/Berlin", "office_hours": [8, 18]})
        for given in document["results"]:
            again = result(read, given["name"])
            self.assertEqual(
                (again["columns"], again["rows"], again["total"]), (given["columns"], given["rows"], len(given["rows"]))
            )
        self.assertIn(b"<title>", made(read))

    def test_a_part_of_an_answer_is_not_taken_for_all(self):
        file = self.folder / "logins.json"
        answer = self.answer(result(page_example.example(), "logins"))
        file.write_text(json.dumps({**answer, "NextToken": "AAA"}), encoding="utf-8")
        self.assertEqual(
            [json.loads(self.convert().stdout)["results"][0][name] for name in ("truncated", "total")], [True, None]
        )
        del answer["ResultSet"]["Rows"][0]
        for text in (json.dumps(answer), "[]", "{", '{"ResultSet": null}'):
            file.write_text(text, encoding="utf-8")
            done = self.convert()
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertRegex(done.stderr.decode(), r"\Afrom-athena: [^\n]*logins.json: expected [^\n]*\n\Z")


if __name__ == "__main__":
    unittest.main()
