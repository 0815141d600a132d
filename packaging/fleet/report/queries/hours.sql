-- title: Logins by weekday and hour
-- explains: Logins with a pushed key, in the report's time zone. Weekday 1 is Monday.
-- columns: weekday integer, hour integer, logins integer
SELECT
    MOD(DATE_DIFF('day', DATE '1970-01-05', CAST(happened_at AT TIME ZONE 'UTC' AT TIME ZONE ${time_zone} AS date)), 7) + 1
        AS weekday,
    HOUR(happened_at AT TIME ZONE 'UTC' AT TIME ZONE ${time_zone}) AS "hour",
    COUNT(*) AS logins
FROM events
WHERE kind = 'session' AND CARDINALITY(pushes) > 0 AND happened_at >= ${from} AND happened_at < ${to}
GROUP BY 1, 2
ORDER BY 1, 2
