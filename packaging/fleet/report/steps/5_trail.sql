-- Pushes and tunnels of CloudTrail, each request once. `role` is the principal's role, user or root, without the session.
SELECT
    happened_at, event_name, request_id, account, region, source_address, error_code, principal, principal_account,
    COALESCE(principal_account, '') || CASE
        WHEN principal LIKE '%:assumed-role/%' THEN ':role/' || REGEXP_EXTRACT(principal, ':assumed-role/([^/]+)', 1)
        WHEN principal LIKE '%:user/%' THEN ':user/' || REGEXP_EXTRACT(principal, '([^/]+)$', 1)
        WHEN principal LIKE '%:root' THEN ':root'
    END AS principal_name,
    mfa, instance_id, os_user
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY event_name, COALESCE(request_id, event_id)
            ORDER BY happened_at NULLS LAST, account NULLS LAST, event_id NULLS LAST, file
        ) AS choice
    FROM (
        SELECT
            file, event_id, event_name, request_id, account, region, source_address, error_code, principal,
            principal_account, mfa = 'true' AS mfa, instance_id, os_user,
            CASE WHEN REGEXP_LIKE(event_time, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')
                 THEN TRY_CAST(REPLACE(SUBSTR(event_time, 1, 19), 'T', ' ') AS timestamp) END AS happened_at
        FROM trail_lines
        WHERE event_source = 'ec2-instance-connect.amazonaws.com' AND event_name IN ('SendSSHPublicKey', 'OpenTunnel')
    )
)
WHERE choice = 1
