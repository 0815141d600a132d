-- Every line of the exports, with its instants. An instant that is no valid time, or after the year 9999 (`@SECONDS`), is
-- null. A line that cannot be read has no `kind`.
--
-- The instance is that of the file's name, so the file of one instance cannot speak for another one. `names_other` is a line
-- that tries it, or whose file names no instance.
SELECT
    file, day, kind, id, schema_version, export_state, export_number,
    COALESCE(final, false) AS final,
    COALESCE(NULLIF(REGEXP_EXTRACT(file, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), ''), instance_id) AS instance_id,
    COALESCE(instance_id <> COALESCE(NULLIF(REGEXP_EXTRACT(file, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), ''), ''), false) AS names_other,
    COALESCE(account, NULLIF(REGEXP_EXTRACT(file, '/([0-9]{12})_[^/]*$', 1), '')) AS account,
    COALESCE(region, NULLIF(REGEXP_EXTRACT(file, '/[0-9]{12}_([a-z0-9-]+)_[^/]*$', 1), '')) AS region,
    boot_id,
    CASE WHEN REGEXP_LIKE(exported_at, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')
         THEN TRY_CAST(REPLACE(SUBSTR(exported_at, 1, 19), 'T', ' ') AS timestamp) END AS exported_at,
    CASE WHEN REGEXP_LIKE(happened_at, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')
         THEN TRY_CAST(REPLACE(SUBSTR(happened_at, 1, 19), 'T', ' ') AS timestamp) END AS happened_at,
    CASE WHEN REGEXP_LIKE(other_at, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')
         THEN TRY_CAST(REPLACE(SUBSTR(other_at, 1, 19), 'T', ' ') AS timestamp) END AS other_at,
    state, seconds, login_user, method, address, fingerprint, attributed, pushes, reason, key_count, complete, all_logins,
    not_known, gaps,
    (schema_version IS NULL OR agent_version IS NULL OR final IS NULL OR exported_at IS NULL) AS is_older
FROM session_lines
