-- title: Refusals by reason
-- explains: Keys that the agent refused. sshd asks twice for a login, so one refused key counts twice. If attributed is false, any user of the instance may have written the line. No reason means the rest of a flood.
-- columns: reason text, attributed boolean, count integer, instances integer, first instant, last instant
SELECT
    reason, attributed, SUM(key_count) AS "count", COUNT(DISTINCT instance_id) AS instances,
    REPLACE(SUBSTR(CAST(MIN(happened_at) AS varchar), 1, 19), ' ', 'T') || 'Z' AS "first",
    REPLACE(SUBSTR(CAST(MAX(happened_at) AS varchar), 1, 19), ' ', 'T') || 'Z' AS "last"
FROM events
WHERE kind = 'refusal' AND happened_at >= ${from} AND happened_at < ${to}
GROUP BY reason, attributed
ORDER BY 3 DESC, reason NULLS LAST, attributed NULLS LAST
