-- Instances whose clock was wrong, as far as the files show it: an event after its own export, an instant after the year
-- 9999 or none at all, an export that is more than two days from the day of its upload, or a login that is more than an
-- hour from its push in CloudTrail.
SELECT instance_id, COUNT(*) AS events, 'an event has no valid time' AS why
FROM lines
WHERE kind IN ('session', 'unused', 'refusal', 'coverage') AND (happened_at IS NULL OR exported_at IS NULL)
    AND is_older = false
GROUP BY instance_id
UNION ALL
SELECT instance_id, COUNT(*) AS events, 'an event is after its own export' AS why
FROM lines
WHERE happened_at > exported_at + INTERVAL '1' DAY
GROUP BY instance_id
UNION ALL
SELECT instance_id, COUNT(*) AS events, 'an export is not of the day of its upload' AS why
FROM lines
WHERE kind = 'coverage' AND ABS(DATE_DIFF('day', CAST(exported_at AS date), TRY_CAST(day AS date))) > 2
GROUP BY instance_id
UNION ALL
SELECT instance_id, COUNT(*) AS events, 'a login is not at the time of its push' AS why
FROM all_logins
WHERE cloudtrail = 'found' AND ABS(DATE_DIFF('second', pushed_at, happened_at)) > 3600
GROUP BY instance_id
