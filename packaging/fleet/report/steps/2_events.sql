-- Each event once: the final line, of several final ones that with the most pushes, else the newest. An id counts for its
-- own instance only, and a line of the instance's own file comes before all others. The rest of the order has no meaning. It
-- makes the choice the same on each engine.
SELECT
    instance_id, id, kind, account, region, happened_at, other_at, state, seconds, login_user, method, address,
    fingerprint, attributed, pushes, reason, COALESCE(key_count, 1) AS key_count
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY instance_id, id
            ORDER BY names_other, final DESC, CASE WHEN final THEN CARDINALITY(pushes) ELSE 0 END DESC NULLS LAST,
                exported_at DESC NULLS LAST, other_at DESC NULLS LAST, seconds DESC NULLS LAST,
                happened_at DESC NULLS LAST, kind, file
        ) AS choice
    FROM lines
    WHERE kind IN ('session', 'unused', 'refusal') AND id IS NOT NULL
)
WHERE choice = 1
