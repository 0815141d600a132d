"""The page of the fleet report: its content, what it does not know, hostile data, and its look on screens and paper."""

import collections
import copy
import functools
import http.server
import itertools
import json
import pathlib
import re
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import page_example  # noqa: E402
from page_browser import COUNTS, CONTRAST, REPORT, SCROLLING, TABLES, Browser, made, result, run  # noqa: E402

import page_values  # noqa: E402, of the report

ABOUT = page_values.ABOUT
PHONE, DESK = 360, 1280


class Content(Browser):
    def test_tables_have_the_values_of_the_input(self):
        document = page_example.example(logins=340)
        shown = self.open(document).evaluate(TABLES)
        for given in document["results"]:
            if given["name"] == "hours" or not given["rows"]:
                self.assertNotIn(given["name"], shown)
                continue
            rows = shown[given["name"]]
            self.assertEqual(len(rows), min(200, len(given["rows"])), given["name"])
            for row, values in zip(rows, given["rows"]):
                self.assertEqual(sorted(row), sorted(self.expected(given, values)))

    @staticmethod
    def expected(given, values):
        for column, value in zip(given["columns"], values):
            name, kind = column["name"], column["type"]
            about = ABOUT["columns"][name]
            if value is None and given["name"] == "coverage" and name in ("file", "instance_id"):
                continue
            if value is None:
                yield [about[0], "i", about[2] if len(about) > 2 else "not known"]
            elif kind == "boolean":
                yield [about[0], "span", "yes" if value else "no"]
            else:
                yield [about[0], {"text": "bdi", "integer": "data", "instant": "time"}[kind], str(value)]

    def test_heat_map_has_every_hour(self):
        document = page_example.example()
        tab = self.open(document)
        shown = tab.evaluate(
            "[...document.querySelectorAll('.heat tbody tr')]"
            ".map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))"
        )
        seen = {(weekday, hour): f"{logins:,}" for weekday, hour, logins in result(document, "hours")["rows"]}
        self.assertEqual(shown, [[seen.get((weekday, hour), "·") for hour in range(24)] for weekday in range(1, 8)])
        self.assertEqual(tab.locator(".heat .office").count(), 5 * 10)

    def test_bars_have_the_refusals_of_each_day(self):
        document = page_example.example()
        days = collections.Counter()
        for day, _, count in result(document, "refusals_by_day")["rows"]:
            days[day] += count
        titles = self.open(document).locator("figure.wide rect title").all_text_contents()
        self.assertEqual(titles, [f"{day}: {count:,}" for day, count in sorted(days.items())])

    def test_a_wrong_clock_does_not_move_the_picture(self):
        document = page_example.example()
        rows = result(document, "refusals_by_day")["rows"]
        rows[:] = [
            ["2026-10-03", "expired", 2],
            ["2037-01-01", "expired", 9],
            ["0001-01-01", "expired", 9],
            ["x", "expired", 9],
        ]
        tab = self.open(document)
        self.assertEqual(tab.locator("figure.wide rect title").all_text_contents(), ["2026-10-03: 2"])
        self.assertIn("3 rows of the result not drawn", self.text(tab, "#refusals_by_day"))
        del document["parameters"]["from"], document["parameters"]["to"]
        rows[:] = [
            ["0001-01-01", "expired", 1],
            ["0001-01-03", "expired", 2],
            ["9999-12-31", "expired", 3],
            ["9999-09-02", "x", None],
        ]
        tab = self.open(document)
        self.assertEqual(tab.locator("figure.wide .axis span").all_text_contents(), ["9999-09-03", "9999-12-31"])
        self.assertIn("Earlier days are in the table", self.text(tab, "#refusals_by_day"))

    def test_small_and_large_numbers_fit_the_heat_map(self):
        document = page_example.example()
        result(document, "hours")["rows"] = [
            [1, 0, 99_999],
            [1, 1, 100_000],
            [1, 2, 12_345_678],
            [1, 3, None],
            [9, 1, 1],
            [1, 1, 7],
        ]
        tab = self.open(document)
        self.assertEqual(
            tab.locator(".heat tbody tr:first-child td").all_text_contents()[:5], ["99,999", "100k", "12.3M", "?", "·"]
        )
        self.assertIn("2 rows of the result not drawn", self.text(tab, "#hours"))

    def test_times_are_in_the_named_zone(self):
        document = page_example.example()
        logins = result(document, "logins")
        logins["rows"] = [row[:] for row in logins["rows"][:3]]
        for row, start in zip(logins["rows"], ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00.250Z", "@99999999999999"]):
            row[0] = start
        tab = self.open(document)
        # The clock shows half past two twice in this night.
        self.assertEqual(
            tab.locator("#logins td:first-child .main > :last-child").all_text_contents(),
            ["2026-10-25 02:30:00 +02:00", "2026-10-25 02:30:00 +01:00", "@99999999999999"],
        )
        self.assertIn("Times are in Europe/Berlin", self.text(tab, "#logins caption"))
        document["parameters"]["time_zone"] = "Atlantis/<b>"
        tab = self.open(document)
        self.assertIn("no data of the time zone Atlantis/<b>. Times are in UTC", self.text(tab, ".facts"))
        self.assertIn("Times are in UTC", self.text(tab, "#logins caption"))

    def test_each_column_of_each_query_has_a_definition(self):
        known = {name: None for name in ABOUT["results"]}
        queries = {
            file.stem: re.search("^-- columns: (.*)", file.read_text(encoding="utf-8"), re.M)[1]
            for file in sorted((REPORT / "queries").glob("*.sql"))
        }
        for name, columns in queries.items():
            self.assertIn(name, known)
            for column in columns.split(", "):
                self.assertIn(column.split()[0], ABOUT["columns"], name)
        tab = self.open(page_example.example())
        self.assertNotIn("As the query gives it", tab.content())
        for target in tab.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"):
            self.assertEqual(tab.locator(target).count(), 1, target)


class Unknown(Browser):
    def test_empty_results_are_none_only_with_complete_coverage(self):
        tab = self.open(page_example.example(whole=True))
        self.assertIn("no gap found", self.text(tab, ".verdict"))
        self.assertEqual(self.text(tab, "#other_means .none"), "None.")
        self.assertEqual(self.text(tab, ".tiles a[href='#other_means'] .figure"), "0")
        tab = self.open(page_example.example())
        self.assertEqual(self.text(tab, "#other_means .none"), "None seen in what was read.")
        self.assertEqual(self.text(tab, ".tiles a[href='#other_means'] .figure"), "none seen")

    def test_each_flaw_of_the_coverage_is_named(self):
        def coverage(row):
            return lambda document: result(document, "coverage")["rows"].append(row)

        def gap(hides):
            return lambda document: result(document, "log_gaps")["rows"].append(
                ["i-0", None, None, None, "rate-limit", 1, hides]
            )

        def cut(name):
            return lambda document: result(document, name).update(total=None, truncated=True)

        def without(name):
            return lambda document: document["results"].remove(result(document, name))

        flaws = {
            "doctor, lines that cannot be read: 2": coverage(["doctor", "lines that cannot be read", 2, None, None]),
            "doctor, files: not known": coverage(["doctor", "files", None, None, None]),
            "files, damaged: 1.": coverage(["files", "damaged", 1, None, "a.gz"]),
            "a finding that no one knows yet: 1": coverage(["x", "a finding that no one knows yet", 1, None, None]),
            "1 gap in logs": gap(True),
            "1 gap in logs. Events": gap(None),
            "Coverage is cut": cut("coverage"),
            "more than 0 instances are silent": cut("silent_instances"),
            "At least 0 gaps": cut("log_gaps"),
            "no result coverage": without("coverage"),
            "no result log_gaps": without("log_gaps"),
            "no result logins": without("logins"),
            "names nothing that was read": lambda document: result(document, "coverage").update(rows=[], total=0),
        }
        for words, spoil in flaws.items():
            document = page_example.example(whole=True)
            for given in document["results"]:
                given["total"] = None if given["name"] != "logins" else given["total"]
            spoil(document)
            page = made(document).decode()
            self.assertIn(words, re.sub("<[^>]*>", "", page.split('class="verdict partial"')[1].split("</section>")[0]))
            self.assertIn('<p class="none">None seen in what was read.</p>', page, words)
        document = page_example.example(whole=True)
        result(document, "log_gaps")["total"] = None
        gap(False)(document)
        self.assertIn('class="verdict whole"', made(document).decode(), "an uncertain detail hides no event")

    def test_a_missing_result_is_not_zero(self):
        document = page_example.example(whole=True)
        document["results"] = [
            given for given in document["results"] if given["name"] in ("coverage", "silent_instances", "log_gaps")
        ]
        tab = self.open(document)
        for name in ("logins", "hours", "refusals", "refusals_by_day", "unused_permissions"):
            self.assertEqual(self.text(tab, f"#{name} .none"), f"Not known. The input has no result {name}.")
        self.assertEqual(tab.locator(".tiles .figure").all_text_contents(), ["not known"] * 7 + ["none seen"] * 2)

    def test_a_count_that_is_not_known_is_not_zero(self):
        document = page_example.example()
        for row in result(document, "refusals")["rows"]:
            row[2] = None
        result(document, "refusals_by_day")["rows"] = [["2026-10-03", "expired", None], ["2026-10-05", "expired", 4]]
        result(document, "unused_permissions")["rows"][0][2] = 0
        tab = self.open(document)
        self.assertEqual(self.text(tab, ".tiles a[href='#refusals'] .figure"), "not known")
        self.assertEqual(set(tab.locator("#refusals .number:nth-child(3) i").all_text_contents()), {"not known"})
        self.assertEqual(
            tab.locator("figure.wide rect title").all_text_contents(), ["2026-10-03: not known", "2026-10-05: 4"]
        )
        self.assertEqual(self.text(tab, "#unused_permissions tr:first-child td.number data"), "0: nothing is known")

    def test_the_page_says_how_much_it_has(self):
        document = page_example.example(logins=340)
        logins = result(document, "logins")
        tab = self.open(document)
        self.assertEqual(tab.locator("#logins tbody tr:visible").count(), 10)
        self.assertTrue(tab.locator("#logins caption").inner_text().startswith("10 of 154,210 rows."))
        tab.check("#logins-rows")
        self.assertEqual(tab.locator("#logins tbody tr:visible").count(), 200)
        self.assertTrue(tab.locator("#logins caption").inner_text().startswith("200 of 154,210 rows."))
        self.assertEqual(tab.locator("#pushes_without_login tbody tr:visible").count(), 10)
        tab.check("#all-rows")
        self.assertEqual(tab.locator("#pushes_without_login tbody tr:visible").count(), 31)
        self.assertIn("page --rows 340", self.text(tab, "#logins"))
        self.assertIn("The input has 340 of 154,210 rows", self.text(tab, "#logins"))
        logins["total"] = None
        tab = self.open(document, "--rows", "340")
        self.assertIn("340 of more than 340 rows", self.text(tab, "#logins caption"))

    def test_the_size_is_bounded(self):
        document = page_example.example(["\0" * 9000], days=2, logins=40)
        for given in document["results"]:
            given["rows"] = (given["rows"] * 30)[:30]
        columns = sum(len(given["columns"]) for given in document["results"])
        self.assertLess(len(made(document)), 30 * columns * page_values.LONGEST * len("\\u{0}") + 500_000)
        document = page_example.example(logins=340)
        small = len(made(document))
        for given in document["results"]:
            if given["rows"] and given["name"] not in ("hours", "refusals_by_day"):
                given["rows"] = (given["rows"] * 5000)[:5000]
        self.assertLess(len(made(document)), small * 5)


class Hostile(Browser):
    def test_text_from_the_data_changes_no_structure(self):
        def example(texts):
            return page_example.example(texts, days=2, logins=40)

        count = len(page_example.HOSTILE)
        # Each text comes to each place: the number of texts and that of the texts of a row have no common factor.
        for turn in range(0, count, 7):
            texts = page_example.HOSTILE[turn:] + page_example.HOSTILE[:turn]
            document = example(texts)
            tab = self.open(document)
            # As many different texts, so that as many rows have the same reason.
            harmless = self.open(example([f"text {(turn + number) % count:02}" for number in range(count)]))
            self.assertEqual(sorted(tab.evaluate(COUNTS)), sorted(harmless.evaluate(COUNTS)))
            self.assertEqual(tab.title(), "Fleet report: logins with EC2 Instance Connect")
            shown = tab.locator("#logins td:nth-child(2) .main bdi").all_text_contents()
            self.assertEqual(shown, [page_values.visible(row[7]) for row in result(document, "logins")["rows"]])

    def test_titles_and_parameters_are_escaped_too(self):
        clean = self.open(page_example.example(days=2, logins=1)).evaluate(COUNTS)
        texts = itertools.cycle(page_example.HOSTILE)
        for _ in range(3):
            document = page_example.example(days=2, logins=1)
            document["made_at"], document["engine"], document["parameters"]["silent_after_hours"] = itertools.islice(
                texts, 3
            )
            for given in document["results"]:
                given["title"], given["explains"] = itertools.islice(texts, 2)
            changed = collections.Counter(self.open(document).evaluate(COUNTS))
            changed.subtract(clean)
            # The time of the report is no time, so it is shown as a text.
            self.assertEqual(
                {kind: count for kind, count in changed.items() if count}, {"bdi. ": 1, "time. datetime": -1}
            )

    def test_no_character_hides_or_reorders_others(self):
        text = "".join(
            map(
                chr,
                [
                    *range(0x3100),
                    *range(0xD7F0, 0xE010),
                    *range(0xFD00, 0x10000),
                    *range(0x1D150, 0x1D180),
                    *range(0xE0000, 0xE0200),
                ],
            )
        )
        shown = page_values.visible(text[:2048]) + page_values.visible(text[2048:4096])
        for start in range(0, len(text), 2048):
            shown += page_values.visible(text[start : start + 2048])
        bidi = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        for character in "\0\t\n\r\x1b\x7f\x85\xa0\xad\u200b\u2028\u2029\ufeff\u3164\ufffe\uffff\ud800\udfff" + bidi:
            self.assertNotIn(character, shown)
        self.assertEqual(page_values.visible("a\\u{202e}\u202e"), "a\\\\u{202e}\\u{202e}")

    def test_other_input_is_refused_with_one_line(self):
        good = page_example.example()

        def changed(change):
            document = copy.deepcopy(good)
            change(document)
            return json.dumps(document).encode()

        wrong = {
            "empty": b" \n",
            "is not JSON": json.dumps(good).encode()[:-9],
            "NaN is no number": b'{"results": NaN}',
            "expected one JSON object": b"[]",
            "results: expected a list": b"{}",
            "a name such as logins": changed(lambda document: document["results"][0].update(name="<b>")),
            "values in row 3": changed(lambda document: document["results"][3]["rows"][2].pop()),
            "one of the types": changed(lambda document: document["results"][0]["columns"][0].update(type="float")),
            "two results": changed(lambda document: document["results"].append(document["results"][0])),
            "two columns": changed(
                lambda document: document["results"][0]["columns"][1].update(document["results"][0]["columns"][0])
            ),
            "single values in row 1": changed(lambda document: document["results"][0]["rows"][0].__setitem__(1, ["x"])),
            "not JSON: maximum": b"[" * 100000,
            "parameters": b'{"parameters": 1, "results": []}',
            "codec": b"\xff\xfe\xfd",
        }
        for words, data in wrong.items():
            done = run(data)
            self.assertEqual((done.returncode, done.stdout), (1, b""), words)
            self.assertRegex(done.stderr.decode(), rf"\Apage: [^\n]*{re.escape(words)}[^\n]*\n\Z")
        self.assertEqual(run(b"", "--rows", "0").returncode, 2)


class Look(Browser):
    def test_nothing_overflows(self):
        for texts in (None, page_example.HOSTILE):
            tab = self.open(page_example.example(texts, days=12), width=PHONE)
            tab.check("#all-rows")
            for width in (320, PHONE, 600, 800, DESK, 2000):
                tab.set_viewport_size({"width": width, "height": 800})
                self.assertLessEqual(tab.evaluate("document.documentElement.scrollWidth"), width)
                if width <= PHONE:
                    # A card needs no scrolling at all.
                    self.assertEqual(tab.evaluate(SCROLLING), [])

    def test_contrast_is_sufficient(self):
        tab = self.open(page_example.example())
        for scheme, media in itertools.product(("light", "dark"), ("screen", "print")):
            tab.emulate_media(media=media, color_scheme=scheme)
            found = tab.evaluate(CONTRAST)
            self.assertGreater(len(found), 1000)
            self.assertEqual([each for each in found if each[0] < 4.5], [], f"{scheme}, {media}")

    def test_prints_on_several_pages(self):
        for texts in (None, page_example.HOSTILE):
            tab = self.open(page_example.example(texts), scheme="dark")
            printed = tab.pdf(prefer_css_page_size=True)
            self.assertTrue(printed.startswith(b"%PDF"))
            self.assertGreaterEqual(len(re.findall(rb"/Type /Page\b", printed)), 5)
            tab.emulate_media(media="print")
            tab.set_viewport_size({"width": 700, "height": 1000})
            self.assertLessEqual(tab.evaluate("document.documentElement.scrollWidth"), 700)

    def test_structure_is_accessible(self):
        tab = self.open(page_example.example())
        levels = tab.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.localName[1])")
        self.assertEqual((levels[0], levels.count(1)), (1, 1))
        self.assertTrue(all(after <= before + 1 for before, after in zip(levels, levels[1:])))
        self.assertEqual(tab.locator("table").count(), tab.locator("table > caption").count())
        self.assertEqual(tab.locator("th:not([scope])").count(), 0)
        self.assertEqual(tab.locator("svg:not([aria-label])").count(), 0)
        ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        self.assertEqual(len(ids), len(set(ids)))
        for name in tab.evaluate(
            "[...document.querySelectorAll('[aria-labelledby]')].map(e => e.getAttribute('aria-labelledby'))"
        ):
            self.assertIn(name, ids)
        self.assertEqual(tab.locator("label").count(), tab.locator("input").count())

    def test_the_policy_allows_only_the_style_of_the_page(self):
        page = made(page_example.example()).decode()
        self.assertRegex(
            page,
            r"\"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'none'\">",
        )
        self.assertNotRegex(page, r"<script|<img|<iframe|<link|<form| style=| on[a-z]+=|src=|https?:|@import|url\(")
        tab = self.open(page_example.example())
        self.assertEqual(
            tab.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX"),
            "auto",
            "the style is not used",
        )

    def test_a_server_gets_one_request(self):
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *_):
                pass

        (self.folder / "served.html").write_bytes(made(page_example.example()))
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(self.folder))
        )
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.open(None, url=f"http://127.0.0.1:{server.server_port}/served.html").wait_for_timeout(500)
        # A browser may ask the site for its icon on its own.
        self.assertEqual([path for path in asked if path != "/favicon.ico"], ["/served.html"])

    def test_the_same_input_gives_the_same_bytes(self):
        document = page_example.example()
        pages = {
            run(document, PYTHONHASHSEED=seed, TZ=zone, LC_ALL=locale).stdout
            for seed, zone, locale in (
                ("1", "UTC", "C"),
                ("2", "Asia/Tokyo", "C.UTF-8"),
                ("3", "America/Lima", "POSIX"),
            )
        }
        self.assertEqual(len(pages), 1)
        self.assertNotEqual(pages, {b""})


if __name__ == "__main__":
    unittest.main()
