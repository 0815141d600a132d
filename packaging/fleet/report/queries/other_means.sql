-- title: Logins by other means
-- explains: Logins without a pushed key: own keys, passwords, certificates. Exports without --all do not have them; the coverage names these exports.
-- columns: start instant, user text, method text, instance_id text, account text, sshd_address text, fingerprint text, attributed boolean
SELECT
    REPLACE(SUBSTR(CAST(happened_at AS varchar), 1, 19), ' ', 'T') || 'Z' AS "start",
    login_user AS "user", method, instance_id, account, address AS sshd_address, fingerprint, attributed
FROM events
WHERE kind = 'session' AND COALESCE(CARDINALITY(pushes), 0) = 0 AND happened_at >= ${from} AND happened_at < ${to}
ORDER BY 1 DESC NULLS LAST, instance_id NULLS LAST, id
