-- Each finished export once: its last line says what it covers. A repeated export has the same number. An export with a
-- state has what the earlier ones do not have. So its claim to cover everything since `covered_from` holds only if the
-- earlier ones are here, too. `is_after_missing` says that the one before it is not: events since `read_from` may be lost.
SELECT
    instance_id, account, region, boot_id, export_state, export_number, exported_at, covered_from, covered_to, complete,
    gaps, earlier_number,
    COALESCE(earlier_to, covered_from) AS read_from,
    COALESCE(export_number > COALESCE(earlier_number, 0) + 1, false) AS is_after_missing
FROM (
    SELECT
        *,
        LAG(covered_to) OVER (
            PARTITION BY instance_id, COALESCE(export_state, id) ORDER BY export_number NULLS FIRST, covered_to NULLS FIRST
        ) AS earlier_to,
        LAG(export_number) OVER (
            PARTITION BY instance_id, COALESCE(export_state, id) ORDER BY export_number NULLS FIRST, covered_to NULLS FIRST
        ) AS earlier_number
    FROM (SELECT
        *, other_at AS covered_from, happened_at AS covered_to,
        ROW_NUMBER() OVER (
            PARTITION BY instance_id, COALESCE(export_state, id), COALESCE(export_number, 0)
            ORDER BY exported_at DESC NULLS LAST, happened_at DESC NULLS LAST, other_at DESC NULLS LAST, file, id
        ) AS choice
    FROM lines
    WHERE kind = 'coverage')
    WHERE choice = 1
)
