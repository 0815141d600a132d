-- title: Permissions that are not used
-- explains: Roles and users that may push a key, and that pushed none in the period. days_observed counts the days of which CloudTrail's files have a record of the account; 0 means that nothing is known.
-- columns: principal text, principal_account text, days_observed integer
WITH allowed AS (
    SELECT DISTINCT
        principal, account,
        COALESCE(account, '') || CASE
            WHEN principal LIKE '%:role/%' THEN ':role/' || REGEXP_EXTRACT(principal, '([^/]+)$', 1)
            WHEN principal LIKE '%:user/%' THEN ':user/' || REGEXP_EXTRACT(principal, '([^/]+)$', 1)
            WHEN principal LIKE '%:root' THEN ':root'
        END AS principal_name
    FROM permission_lines
    WHERE principal IS NOT NULL AND decision = 'allowed' AND action = 'ec2-instance-connect:SendSSHPublicKey'
), used AS (
    SELECT DISTINCT principal_name
    FROM trail
    WHERE event_name = 'SendSSHPublicKey' AND error_code IS NULL AND happened_at >= ${from} AND happened_at < ${to}
), observed AS (
    SELECT account, COUNT(DISTINCT CAST(at_hour AS date)) AS days
    FROM trail_hours
    WHERE at_hour >= ${from} AND at_hour < ${to}
    GROUP BY account
)
SELECT
    a.principal, a.account AS principal_account, COALESCE(o.days, 0) AS days_observed
FROM allowed AS a
LEFT JOIN used AS u ON u.principal_name = a.principal_name
LEFT JOIN observed AS o ON o.account = a.account
WHERE u.principal_name IS NULL
ORDER BY a.principal
