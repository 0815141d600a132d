-- title: Pushes without a login
-- explains: CloudTrail has the push, but no verified login of an export has its request id. The last column says why, as far as the exports show it.
-- columns: pushed_at instant, principal text, principal_account text, instance_id text, user text, request_id text, cloudtrail_address text, why text
WITH known AS (
    SELECT
        p.request_id, p.instance_id,
        BOOL_OR(p.kind = 'session' AND p.verified) AS has_login,
        BOOL_OR(p.kind = 'session') AS has_claim,
        BOOL_OR(p.kind = 'unused') AS is_unused,
        MIN(CASE WHEN p.kind = 'refusal' THEN COALESCE(p.reason, 'flood') END) AS reason
    FROM event_pushes AS p
    WHERE p.request_id IS NOT NULL
    GROUP BY p.request_id, p.instance_id
), pushes AS (
    SELECT t.*, k.has_claim, k.is_unused, k.reason
    FROM trail AS t
    LEFT JOIN known AS k ON k.request_id = t.request_id AND k.instance_id = t.instance_id
    WHERE t.event_name = 'SendSSHPublicKey' AND t.error_code IS NULL
        AND t.happened_at >= ${from} AND t.happened_at < ${to}
        AND COALESCE(k.has_login, false) = false
), covered AS (
    SELECT
        p.request_id,
        COUNT(x.instance_id) AS exports,
        BOOL_OR(x.chain_from <= p.happened_at AND x.covered_to >= p.happened_at + INTERVAL '10' MINUTE) AS is_covered,
        BOOL_OR(x.read_from <= p.happened_at + INTERVAL '10' MINUTE AND x.covered_to >= p.happened_at
            AND COALESCE(x.complete, false) = false) AS has_gaps,
        BOOL_OR(x.earlier_to <= p.happened_at + INTERVAL '10' MINUTE AND x.hole_to >= p.happened_at) AS is_missing
    FROM pushes AS p
    LEFT JOIN exports AS x ON x.instance_id = p.instance_id
    WHERE p.is_unused IS NULL
    GROUP BY p.request_id
)
SELECT
    REPLACE(SUBSTR(CAST(p.happened_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS pushed_at,
    p.principal, p.principal_account, p.instance_id, p.os_user AS "user", p.request_id,
    p.source_address AS cloudtrail_address,
    CASE
        WHEN p.reason IS NOT NULL THEN 'refused: ' || p.reason
        WHEN p.has_claim THEN 'only an unverified line names a login'
        WHEN p.is_unused THEN 'unused: no login used the key'
        WHEN COALESCE(c.exports, 0) = 0 THEN 'unknown: no finished export of this instance'
        WHEN COALESCE(c.is_covered, false) = false THEN 'unknown: no export covers that time'
        WHEN c.is_missing THEN 'unknown: an earlier export is not in the bucket'
        WHEN c.has_gaps THEN 'unknown: the log has a gap'
        ELSE 'sshd never asked for the key'
    END AS why
FROM pushes AS p
LEFT JOIN covered AS c ON c.request_id = p.request_id
ORDER BY 1 DESC NULLS LAST, p.request_id NULLS LAST, p.instance_id NULLS LAST
