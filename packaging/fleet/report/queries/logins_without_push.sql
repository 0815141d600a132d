-- title: Logins without a push in CloudTrail
-- explains: CloudTrail has no record of the push, or the record is of another instance, user or principal. Unknown means that CloudTrail's files do not cover that hour.
-- columns: start instant, end instant, seconds integer, user text, instance_id text, account text, region text, principal text, principal_account text, mfa boolean, cloudtrail_address text, sshd_address text, request_id text, fingerprint text, verified boolean, cloudtrail text
SELECT
    REPLACE(SUBSTR(CAST(happened_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "start",
    REPLACE(SUBSTR(CAST(other_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "end",
    seconds, login_user AS "user", instance_id, account, region, principal, principal_account, mfa, cloudtrail_address,
    sshd_address, request_id, fingerprint, verified, cloudtrail
FROM all_logins
WHERE happened_at >= ${from} AND happened_at < ${to} AND cloudtrail <> 'found'
ORDER BY 1 DESC NULLS LAST, instance_id NULLS LAST, id, request_id NULLS LAST, principal NULLS LAST
