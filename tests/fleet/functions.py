"""Every function of the report's queries, as each engine runs it. A test refuses a query with another one.

`sqlglot` takes unknown functions, and translates some known ones wrongly. So each function here has cases: an expression
in Athena's dialect, and the value that Athena's documentation (Trino's) promises. The test runs them on both engines.
"""

# Never use these. The translation by sqlglot has another meaning on an engine.
REFUSED = {
    "DAY_OF_WEEK": "Spark numbers the days from Sunday, and sqlglot's correction is wrong: Monday is 3",
    "DATE_ADD": "Spark's DATE_ADD adds days, whatever the unit: use + INTERVAL",
    "DATE_FORMAT": "the letters T and Z of a format are fields in Spark",
    "TRY": "Spark has no TRY for any expression: use TRY_CAST",
    "JSON_PARSE": "Spark has no type JSON: the tables of each engine read JSON",
    "ARBITRARY": "each engine takes another value",
    "MAX_BY": "each engine takes another value if several are the greatest",
    "ARRAY_AGG": "the order differs",
    "CONCAT": "an argument that is null differs by engine: use ||",
    "GREATEST": "an argument that is null differs by engine",
    "LEAST": "an argument that is null differs by engine",
}

AT = "TIMESTAMP '2026-10-25 00:30:00'"
# Name in the syntax tree of sqlglot: cases.
CHECKED = {
    "Abs": [("ABS(-3)", 3)],
    "And": [("NULL AND false", False)],
    "AtTimeZone": [
        (f"CAST({AT} AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin' AS varchar)", "2026-10-25 02:30:00"),
        (f"HOUR({AT} AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin')", 2),
        ("HOUR(TIMESTAMP '2026-10-25 01:30:00' AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin')", 2),
        ("HOUR(TIMESTAMP '2026-03-29 01:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin')", 3),
        ("HOUR(TIMESTAMP '2026-07-01 20:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Kolkata')", 1),
        ("CAST(CAST(TIMESTAMP '2026-07-01 20:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Kolkata' AS date) AS varchar)",
         "2026-07-02"),
    ],
    "ArraySize": [("CARDINALITY(a)", 2, "(SELECT ARRAY['x', NULL] AS a)"),
                  ("CARDINALITY(a)", None, "(SELECT CAST(NULL AS ARRAY(varchar)) AS a)")],
    "Case": [("CASE WHEN CAST(NULL AS boolean) THEN 1 WHEN 2 > 1 THEN 2 END", 2), ("CASE WHEN false THEN 1 END", None)],
    "Cast": [(f"CAST({AT} AS varchar)", "2026-10-25 00:30:00"), (f"CAST(CAST({AT} AS date) AS varchar)", "2026-10-25"),
             ("CAST(FLOOR(7201 / 3600.0) AS bigint)", 2), ("CAST(FLOOR(-1 / 3600.0) AS bigint)", -1)],
    "Coalesce": [("COALESCE(NULL, 'a', 'b')", "a")],
    "Count": [("COUNT(v)", 2, "(VALUES (1), (NULL), (1)) AS t(v)"), ("COUNT(DISTINCT v)", 1, "(VALUES (1), (NULL), (1)) AS t(v)"),
              ("COUNT(*)", 0, "(SELECT 1 AS one) AS t WHERE one = 2")],
    "DateDiff": [
        ("DATE_DIFF('day', DATE '1970-01-05', DATE '2026-11-28')", 20781),
        ("DATE_DIFF('second', TIMESTAMP '2026-10-01 00:00:59', TIMESTAMP '2026-10-01 00:02:00')", 61),
        ("DATE_DIFF('second', TIMESTAMP '2026-10-01 00:02:00', TIMESTAMP '2026-10-01 00:00:59')", -61),
        # The weekday of 28 November 2026, a Saturday, and of the Sunday and the Monday after it.
        ("MOD(DATE_DIFF('day', DATE '1970-01-05', DATE '2026-11-28'), 7) + 1", 6),
        ("MOD(DATE_DIFF('day', DATE '1970-01-05', DATE '2026-11-29'), 7) + 1", 7),
        ("MOD(DATE_DIFF('day', DATE '1970-01-05', DATE '2026-11-30'), 7) + 1", 1),
    ],
    "If": [("CASE WHEN 2 > 1 THEN 'a' ELSE 'b' END", "a")],
    "Floor": [("CAST(FLOOR(1.9) AS bigint)", 1)],
    "Hour": [(f"HOUR({AT})", 0)],
    "JSONExtractScalar": [
        ("JSON_EXTRACT_SCALAR(j, '$.a')", "q\"uote, größe 😀", """(SELECT '{"a":"q\\"uote, gr\\u00f6\\u00dfe \\ud83d\\ude00"}' AS j)"""),
        ("JSON_EXTRACT_SCALAR(j, '$.a')", "true", """(SELECT '{"a":true}' AS j)"""),
        ("JSON_EXTRACT_SCALAR(j, '$.a')", None, """(SELECT '{"a":null}' AS j)"""),
        ("JSON_EXTRACT_SCALAR(j, '$.a')", None, """(SELECT '{"b":1}' AS j)"""),
        ("JSON_EXTRACT_SCALAR(j, '$.a')", "", """(SELECT '{"a":""}' AS j)"""),
        ("JSON_EXTRACT_SCALAR(j, '$.a')", "line\nbreak \\ <b>", """(SELECT '{"a":"line\\nbreak \\\\ <b>"}' AS j)"""),
    ],
    "Lag": [("MAX(l)", 1, "(SELECT LAG(v) OVER (ORDER BY v NULLS FIRST) AS l FROM (VALUES (1), (2)) AS t(v)) AS u")],
    "LogicalOr": [("BOOL_OR(v = 1)", True, "(VALUES (1), (NULL), (2)) AS t(v)"), ("BOOL_OR(v = 3)", False, "(VALUES (1), (NULL)) AS t(v)"),
                  ("BOOL_OR(v = 3)", None, "(SELECT CAST(NULL AS integer) AS v) AS t")],
    "Max": [("MAX(v)", 2, "(VALUES (1), (NULL), (2)) AS t(v)"), ("MAX(v)", "ä", "(VALUES ('Z'), ('z'), ('ä')) AS t(v)")],
    "Min": [("MIN(v)", "Z", "(VALUES ('a'), (NULL), ('Z')) AS t(v)")],
    "Mod": [("MOD(9, 7)", 2)],
    "Nullif": [("NULLIF('', '')", None), ("NULLIF('a', '')", "a")],
    "Or": [("NULL OR true", True)],
    # Without a match, Athena has null, the others have an empty text. So the queries use NULLIF(…, '').
    "RegexpExtract": [
        ("NULLIF(REGEXP_EXTRACT(f, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), '')", "i-0123456789abcdef0",
         "(SELECT 'exports/sessions/day=2026-11-28/1_us-east-1_i-0123456789abcdef0_000000Z.jsonl.gz' AS f)"),
        ("NULLIF(REGEXP_EXTRACT(f, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), '')", None, "(SELECT 'x' AS f)"),
        ("REGEXP_EXTRACT(f, '([^/]+)$', 1)", "größe", "(SELECT 'user/team/größe' AS f)"),
    ],
    "RegexpLike": [
        ("REGEXP_LIKE(v, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')", expected,
         f"(SELECT {value} AS v)")
        for value, expected in [("'2026-11-28T00:00:00Z'", True), ("'2026-11-28T00:00:00.123Z'", True), ("'@253402300800'", False),
                                ("'2026-11-28T24:00:00Z'", False), ("'2026-11-28T00:00:60Z'", False), ("CAST(NULL AS varchar)", None),
                                ("'2026-11-28T00:00:00+01:00'", False), ("'x2026-11-28T00:00:00Z'", False)]
    ],
    "Replace": [("REPLACE('2026-11-28T00:00:00', 'T', ' ')", "2026-11-28 00:00:00")],
    "RowNumber": [("MAX(v)", 3, "(SELECT v, ROW_NUMBER() OVER (ORDER BY v DESC NULLS LAST) AS n FROM (VALUES (1), (NULL), (3)) AS t(v)) AS u WHERE n = 1"),
                  ("MAX(b)", 5, "(SELECT b, ROW_NUMBER() OVER (ORDER BY a DESC, b) AS n FROM (VALUES (false, 1), (true, 5)) AS t(a, b)) AS u WHERE n = 1")],
    "Substring": [("SUBSTR('2026-11-28T00:00:00.5Z', 1, 19)", "2026-11-28T00:00:00"), ("SUBSTR('größe', 3, 2)", "öß")],
    "Sum": [("SUM(v)", 3, "(VALUES (1), (NULL), (2)) AS t(v)"), ("SUM(v)", None, "(SELECT 1 AS v) AS t WHERE v = 2")],
    "TimestampTrunc": [("CAST(DATE_TRUNC('hour', TIMESTAMP '2026-10-25 01:59:59') AS varchar)", "2026-10-25 01:00:00")],
    "TryCast": [
        (f"CAST(TRY_CAST({value} AS timestamp) AS varchar)", expected)
        for value, expected in [("'2026-02-28 23:59:59'", "2026-02-28 23:59:59"), ("'2026-02-30 00:00:00'", None),
                                ("'2026-13-01 00:00:00'", None), ("'0000-00-00 00:00:00'", None), ("'2028-02-29 00:00:00'", "2028-02-29 00:00:00")]
    ],
    "Unnest": [("COUNT(*)", 2, "(SELECT ARRAY['a', 'b'] AS l) AS t CROSS JOIN UNNEST(t.l) AS u(v)"),
               ("COUNT(*)", 0, "(SELECT CAST(NULL AS ARRAY(varchar)) AS l) AS t CROSS JOIN UNNEST(t.l) AS u(v)")],
}
