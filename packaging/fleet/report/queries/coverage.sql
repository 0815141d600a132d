-- title: What was read, and what was not
-- explains: The totals are first, then the files and instances that need a look. No count means that nothing was read, so the figure is not known.
-- columns: subject text, finding text, count integer, instance_id text, file text
WITH copied AS (
    -- Two machines with one id: the exports of one run of the machine are between those of another one.
    SELECT instance_id, COUNT(*) AS overlaps
    FROM (
        SELECT
            instance_id, begins,
            MAX(ends) OVER (PARTITION BY instance_id ORDER BY begins NULLS LAST, boot_id, export_state NULLS LAST
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier_ends
        FROM (
            SELECT instance_id, boot_id, export_state, MIN(exported_at) AS begins, MAX(exported_at) AS ends
            FROM exports
            WHERE instance_id IS NOT NULL AND boot_id IS NOT NULL
            GROUP BY instance_id, boot_id, export_state
        )
    )
    WHERE begins < earlier_ends
    GROUP BY instance_id
), trails AS (
    SELECT file, SUM(records) AS records, SUM(CASE WHEN at_hour IS NULL THEN records ELSE 0 END) AS unreadable
    FROM trail_files
    GROUP BY file
), doctors AS (
    SELECT file, SUM(CASE WHEN schema_version IS NULL THEN 1 ELSE 0 END) AS unreadable,
        SUM(CASE WHEN schema_version IS NOT NULL AND instance_id IS NULL THEN 1 ELSE 0 END) AS without_instance,
        SUM(CASE WHEN names_other THEN 1 ELSE 0 END) AS other_instance
    FROM doctor
    GROUP BY file
), found AS (
    SELECT 1 AS place, 'sessions' AS subject, 'files' AS finding, NULLIF(COUNT(*), 0) AS "count",
        CAST(NULL AS varchar) AS instance_id, CAST(NULL AS varchar) AS file FROM files
    UNION ALL SELECT 2, 'sessions', 'lines', SUM(all_lines), NULL, NULL FROM files
    UNION ALL SELECT 3, 'sessions', 'lines that cannot be read', SUM(unreadable), NULL, NULL FROM files
    UNION ALL SELECT 4, 'sessions', 'lines of older versions', SUM(older), NULL, NULL FROM files
    UNION ALL SELECT 5, 'sessions', 'lines of newer versions', SUM(newer), NULL, NULL FROM files
    UNION ALL SELECT 6, 'sessions', 'lines of unknown kinds', SUM(unknown_kinds), NULL, NULL FROM files
    UNION ALL SELECT 7, 'sessions', 'lines that repeat an event', SUM(events) - (SELECT COUNT(*) FROM events), NULL, NULL FROM files
    UNION ALL SELECT 8, 'sessions', 'lines without an instance', SUM(without_instance), NULL, NULL FROM files
    UNION ALL SELECT 9, 'sessions', 'lines that name another instance than their file', SUM(other_instance), NULL, NULL FROM files
    UNION ALL SELECT 10, 'sessions', 'instances', NULLIF(COUNT(DISTINCT instance_id), 0), NULL, NULL FROM lines
    UNION ALL SELECT 11, 'sessions', 'files without a finished export', SUM(CASE WHEN finished = 0 THEN 1 ELSE 0 END), NULL, NULL FROM files
    UNION ALL SELECT 12, 'sessions', 'exports without logins by other means', SUM(without_all), NULL, NULL FROM files
    UNION ALL SELECT 13, 'sessions', 'exports that do not know their account', SUM(not_known), NULL, NULL FROM files
    UNION ALL SELECT 14, 'doctor', 'files', NULLIF(COUNT(*), 0), NULL, NULL FROM doctors
    UNION ALL SELECT 15, 'doctor', 'lines that cannot be read', SUM(unreadable), NULL, NULL FROM doctors
    UNION ALL SELECT 16, 'doctor', 'lines without an instance', SUM(without_instance), NULL, NULL FROM doctors
    UNION ALL SELECT 17, 'cloudtrail', 'files', NULLIF(COUNT(*), 0), NULL, NULL FROM trails
    UNION ALL SELECT 18, 'cloudtrail', 'records', SUM(records), NULL, NULL FROM trails
    UNION ALL SELECT 19, 'cloudtrail', 'records and files that cannot be read', SUM(unreadable), NULL, NULL FROM trails
    UNION ALL SELECT 20, 'cloudtrail', 'pushes and tunnels', CASE WHEN (SELECT COUNT(*) FROM trails) > 0 THEN COUNT(*) END, NULL, NULL FROM trail
    UNION ALL SELECT 21, 'permissions', 'lines', NULLIF(COUNT(*), 0), NULL, NULL FROM permission_lines
    UNION ALL SELECT 22, 'permissions', 'lines that cannot be read', CASE WHEN COUNT(*) > 0 THEN SUM(CASE WHEN principal IS NULL THEN 1 ELSE 0 END) END, NULL, NULL FROM permission_lines
    UNION ALL SELECT 30, 'sessions', 'copied instance id: two machines use it', overlaps, instance_id, NULL FROM copied
    UNION ALL SELECT 31, 'sessions', 'wrong clock: ' || why, events, instance_id, NULL FROM clocks
    UNION ALL SELECT 32, 'sessions', 'lines that cannot be read', unreadable, instance_id, file FROM files WHERE unreadable > 0
    UNION ALL SELECT 33, 'cloudtrail', 'records and files that cannot be read', unreadable, NULL, file FROM trails WHERE unreadable > 0
    UNION ALL SELECT 34, 'doctor', 'lines that cannot be read', unreadable, NULL, file FROM doctors WHERE unreadable > 0
    UNION ALL SELECT 35, 'sessions', 'lines that name another instance than their file', other_instance, instance_id, file FROM files WHERE other_instance > 0
    UNION ALL SELECT 36, 'sessions', 'lines of newer versions', newer, instance_id, file FROM files WHERE newer > 0
    UNION ALL SELECT 37, 'sessions', 'lines of unknown kinds', unknown_kinds, instance_id, file FROM files WHERE unknown_kinds > 0
    UNION ALL SELECT 38, 'sessions', 'no finished export in the file', all_lines, instance_id, file FROM files WHERE finished = 0
    UNION ALL SELECT 39, 'sessions', 'lines of older versions', older, instance_id, file FROM files WHERE older > 0
    UNION ALL SELECT 40, 'sessions', 'exports without logins by other means', without_all, instance_id, file FROM files WHERE without_all > 0
    UNION ALL SELECT 41, 'doctor', 'reports that name another instance than their file', other_instance, NULL, file FROM doctors WHERE other_instance > 0
)
SELECT subject, finding, "count", instance_id, file
FROM found
ORDER BY place, instance_id NULLS LAST, file NULLS LAST
