-- title: Who logged in where
-- explains: Each login with a pushed key. If verified is false, any user of the instance may have forged the principal. The address and MFA are CloudTrail's, which has them only if it has the push.
-- columns: start instant, end instant, seconds integer, user text, instance_id text, account text, region text, principal text, principal_account text, mfa boolean, cloudtrail_address text, sshd_address text, request_id text, fingerprint text, verified boolean, cloudtrail text
SELECT
    REPLACE(SUBSTR(CAST(happened_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "start",
    REPLACE(SUBSTR(CAST(other_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "end",
    seconds, login_user AS "user", instance_id, account, region, principal, principal_account, mfa, cloudtrail_address,
    sshd_address, request_id, fingerprint, verified, cloudtrail
FROM all_logins
WHERE happened_at >= ${from} AND happened_at < ${to}
ORDER BY 1 DESC NULLS LAST, instance_id NULLS LAST, id, request_id NULLS LAST, principal NULLS LAST
