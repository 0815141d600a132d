-- title: Refusals by day
-- explains: Refused keys for each day of the report's time zone, with the reason. sshd asks twice for a login.
-- columns: day text, reason text, count integer
SELECT
    SUBSTR(CAST(CAST(happened_at AT TIME ZONE 'UTC' AT TIME ZONE ${time_zone} AS date) AS varchar), 1, 10) AS day,
    reason, SUM(key_count) AS "count"
FROM events
WHERE kind = 'refusal' AND happened_at >= ${from} AND happened_at < ${to}
GROUP BY 1, 2
ORDER BY 1, 2 NULLS LAST
