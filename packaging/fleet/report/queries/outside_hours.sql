-- title: Logins outside office hours
-- explains: Logins with a pushed key on other days or at other hours than the office's, in the report's time zone.
-- columns: start instant, end instant, seconds integer, user text, instance_id text, account text, region text, principal text, principal_account text, mfa boolean, cloudtrail_address text, sshd_address text, request_id text, fingerprint text, verified boolean, weekday integer, hour integer
SELECT
    REPLACE(SUBSTR(CAST(happened_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "start",
    REPLACE(SUBSTR(CAST(other_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "end",
    seconds, login_user AS "user", instance_id, account, region, principal, principal_account, mfa, cloudtrail_address,
    sshd_address, request_id, fingerprint, verified, weekday, local_hour AS "hour"
FROM (
    SELECT
        *,
        MOD(DATE_DIFF('day', DATE '1970-01-05', CAST(happened_at AT TIME ZONE 'UTC' AT TIME ZONE ${time_zone} AS date)), 7) + 1
            AS weekday,
        HOUR(happened_at AT TIME ZONE 'UTC' AT TIME ZONE ${time_zone}) AS local_hour
    FROM all_logins
    WHERE happened_at >= ${from} AND happened_at < ${to}
)
WHERE weekday < ${office_first_day} OR weekday > ${office_last_day}
    OR local_hour < ${office_from} OR local_hour >= ${office_to}
ORDER BY 1 DESC NULLS LAST, instance_id NULLS LAST, id, request_id NULLS LAST, principal NULLS LAST
