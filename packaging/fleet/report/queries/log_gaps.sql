-- title: Gaps of the logs
-- explains: What exports say is missing from their logs, and numbers of exports that are missing from the bucket. If hides_events is false, the gap makes details uncertain, but hides no event.
-- columns: instance_id text, account text, from instant, to instant, why text, exports integer, hides_events boolean
SELECT
    instance_id, MAX(account) AS account,
    REPLACE(SUBSTR(CAST(MIN(read_from) AS varchar), 1, 19), ' ', 'T') || 'Z' AS "from",
    REPLACE(SUBSTR(CAST(MAX(covered_to) AS varchar), 1, 19), ' ', 'T') || 'Z' AS "to",
    why, COUNT(*) AS exports,
    why NOT IN ('older-text-logs', 'no-ends', 'ends-by-users', 'ends-contradict', 'clock-set-back', 'md5-fingerprints',
        'shared-key', 'text-log', 'no-agent-user', 'years', 'time-zone', 'state-anew', 'principal-unlikely') AS hides_events
FROM (
    SELECT x.instance_id, x.account, x.read_from, x.covered_to, JSON_EXTRACT_SCALAR(g.gap, '$.id') AS why
    FROM exports AS x
    CROSS JOIN UNNEST(x.gaps) AS g(gap)
    UNION ALL
    SELECT instance_id, account, earlier_to, hole_to, 'export-not-in-bucket' AS why
    FROM exports
    WHERE hole_to IS NOT NULL
)
WHERE covered_to >= ${from} OR covered_to IS NULL
GROUP BY instance_id, why
ORDER BY instance_id NULLS LAST, why
