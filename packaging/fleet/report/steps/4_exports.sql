-- Each finished export once: its last line says what it covers. A repeated export has the same number.
--
-- With a state, the first export covers everything from `chain_from` on, and each later one what came after the one
-- before it. If the one before it is not in the bucket, events may be lost between `earlier_to` and `hole_to`.
SELECT
    instance_id, account, region, boot_id, export_state, export_number, exported_at, covered_to, complete, gaps,
    COALESCE(earlier_to, covered_from) AS read_from,
    MIN(covered_from) OVER (PARTITION BY instance_id, chain) AS chain_from,
    earlier_to,
    CASE WHEN covered_from > earlier_to THEN covered_from
         WHEN export_number > earlier_number + 1 THEN covered_to END AS hole_to
FROM (
    SELECT
        *,
        LAG(covered_to) OVER (
            PARTITION BY instance_id, chain ORDER BY export_number NULLS FIRST, covered_to NULLS FIRST
        ) AS earlier_to,
        LAG(export_number) OVER (
            PARTITION BY instance_id, chain ORDER BY export_number NULLS FIRST, covered_to NULLS FIRST
        ) AS earlier_number
    FROM (
        SELECT
            *, COALESCE(export_state, id) AS chain, other_at AS covered_from, happened_at AS covered_to,
            ROW_NUMBER() OVER (
                PARTITION BY instance_id, COALESCE(export_state, id), COALESCE(export_number, 0)
                ORDER BY names_other, exported_at DESC NULLS LAST, happened_at DESC NULLS LAST, other_at DESC NULLS LAST, file, id
            ) AS choice
        FROM lines
        WHERE kind = 'coverage'
    )
    WHERE choice = 1
)
