-- What was read from each file of exports.
SELECT
    file, MAX(day) AS day, MAX(instance_id) AS instance_id,
    COUNT(*) AS all_lines,
    SUM(CASE WHEN kind IS NULL OR id IS NULL THEN 1 ELSE 0 END) AS unreadable,
    SUM(CASE WHEN kind IS NOT NULL AND id IS NOT NULL AND is_older THEN 1 ELSE 0 END) AS older,
    SUM(CASE WHEN schema_version > 1 THEN 1 ELSE 0 END) AS newer,
    SUM(CASE WHEN kind NOT IN ('session', 'unused', 'refusal', 'coverage') THEN 1 ELSE 0 END) AS unknown_kinds,
    SUM(CASE WHEN kind IN ('session', 'unused', 'refusal') AND id IS NOT NULL THEN 1 ELSE 0 END) AS events,
    SUM(CASE WHEN kind = 'coverage' THEN 1 ELSE 0 END) AS finished,
    SUM(CASE WHEN kind = 'coverage' AND all_logins = false THEN 1 ELSE 0 END) AS without_all,
    SUM(CASE WHEN kind = 'coverage' AND not_known IS NOT NULL THEN 1 ELSE 0 END) AS not_known,
    SUM(CASE WHEN names_other THEN 1 ELSE 0 END) AS other_instance,
    SUM(CASE WHEN instance_id IS NULL AND kind IS NOT NULL THEN 1 ELSE 0 END) AS without_instance
FROM lines
GROUP BY file
