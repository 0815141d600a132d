-- What was read from each file of CloudTrail, by account, region and hour. `at_hour` is null for what cannot be read.
SELECT file, account, region, at_hour, COUNT(*) AS records
FROM (
    SELECT
        file, account, region,
        CASE WHEN event_name IS NOT NULL
            AND REGEXP_LIKE(event_time, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')
            THEN TRY_CAST(REPLACE(SUBSTR(event_time, 1, 13), 'T', ' ') || ':00:00' AS timestamp) END AS at_hour
    FROM trail_lines
)
GROUP BY file, account, region, at_hour
