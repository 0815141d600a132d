-- Each login with a pushed key, and each push of its key, beside CloudTrail's record with the push's request id. A login has
-- MFA and address of a record only if instance, user and principal are the record's: anybody can write a request id.
SELECT
    id, happened_at, other_at, seconds, login_user, instance_id, account, region, principal, principal_account,
    CASE WHEN cloudtrail = 'found' THEN mfa END AS mfa,
    CASE WHEN cloudtrail = 'found' THEN source_address END AS cloudtrail_address,
    sshd_address, request_id, fingerprint, verified, pushed_at, cloudtrail
FROM (
    SELECT
        e.id, e.happened_at, e.other_at, e.seconds, e.login_user, e.instance_id, e.account, e.region, p.principal,
        p.principal_account, t.mfa, t.source_address, e.address AS sshd_address, p.request_id, e.fingerprint, p.verified,
        t.happened_at AS pushed_at,
        CASE
            WHEN t.request_id IS NULL AND (h.at_hour IS NULL OR o.at_hour IS NULL)
                THEN 'unknown: no CloudTrail file of that hour'
            WHEN t.request_id IS NULL THEN 'no record'
            WHEN e.instance_id IS NULL OR e.login_user IS NULL OR p.principal IS NULL
                THEN 'the login names no instance, user or principal'
            WHEN COALESCE(t.instance_id, '') <> e.instance_id THEN 'record of another instance'
            WHEN COALESCE(t.os_user, '') <> e.login_user THEN 'record of another user'
            WHEN COALESCE(t.principal, '') <> p.principal THEN 'record of another principal'
            ELSE 'found'
        END AS cloudtrail
    FROM event_pushes AS p
    JOIN events AS e ON e.id = p.id AND COALESCE(e.instance_id, '') = COALESCE(p.instance_id, '')
    LEFT JOIN trail AS t
        ON t.request_id = p.request_id AND t.event_name = 'SendSSHPublicKey' AND t.error_code IS NULL
    LEFT JOIN trail_hours AS h
        ON h.account = e.account AND h.region = e.region
        AND h.at_hour = DATE_TRUNC('hour', e.happened_at - INTERVAL '60' SECOND)
    LEFT JOIN trail_hours AS o
        ON o.account = COALESCE(p.principal_account, e.account) AND o.region = e.region
        AND o.at_hour = DATE_TRUNC('hour', e.happened_at - INTERVAL '60' SECOND)
    WHERE e.kind = 'session' AND p.kind = 'session'
)
