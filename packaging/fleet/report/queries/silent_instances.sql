-- title: Silent instances
-- explains: Instances that sent no finished export for too long, or none at all. They are known from exports, from reports of doctor, or from pushes in CloudTrail. A terminated instance is silent, too.
-- columns: instance_id text, account text, region text, last_export instant, hours_silent integer, why text
WITH known AS (
    SELECT instance_id, account, region, exported_at AS finished_at, exported_at AS seen_at, 1 AS source FROM exports
    UNION ALL
    SELECT instance_id, MAX(account), MAX(region), CAST(NULL AS timestamp), MAX(exported_at), 2
    FROM lines WHERE kind IS NOT NULL GROUP BY instance_id
    UNION ALL
    SELECT instance_id, account, region, CAST(NULL AS timestamp), CAST(NULL AS timestamp), 3
    FROM doctor WHERE schema_version IS NOT NULL
    UNION ALL
    SELECT instance_id, MAX(account), MAX(region), CAST(NULL AS timestamp), CAST(NULL AS timestamp), 4
    FROM trail WHERE event_name = 'SendSSHPublicKey' AND error_code IS NULL GROUP BY instance_id
), instances AS (
    SELECT
        instance_id, COALESCE(MAX(CASE WHEN source < 4 THEN account END), MAX(account)) AS account,
        MAX(region) AS region, MAX(finished_at) AS finished_at,
        MIN(source) AS source,
        CAST(FLOOR(DATE_DIFF('second', MAX(finished_at), ${as_of}) / 3600.0) AS bigint) AS hours_silent,
        -- Clocks differ a little. An export that came after the period is not from a wrong clock.
        MAX(finished_at) > ${read_to} + INTERVAL '1' DAY AS is_ahead
    FROM known
    WHERE instance_id IS NOT NULL
    GROUP BY instance_id
)
SELECT
    instance_id, account, region,
    REPLACE(SUBSTR(CAST(finished_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS last_export,
    CASE WHEN is_ahead THEN NULL WHEN hours_silent < 0 THEN 0 ELSE hours_silent END AS hours_silent,
    CASE
        WHEN is_ahead THEN 'the clock is ahead: nobody knows when it exported'
        WHEN source = 1 AND finished_at IS NULL THEN 'the exports have no valid time'
        WHEN source = 1 THEN 'no export since'
        WHEN source = 2 THEN 'no export was finished'
        WHEN source = 3 THEN 'doctor reports, but no export came'
        ELSE 'CloudTrail has pushes, but no export came'
    END AS why
FROM instances
WHERE finished_at IS NULL OR hours_silent >= ${silent_after} OR is_ahead
ORDER BY 5 DESC NULLS FIRST, instance_id
