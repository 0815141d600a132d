-- The hours of which CloudTrail's files have any record, by account and region. In the other hours, CloudTrail may have
-- been off, or its files were not read: nobody knows whether there was a push.
SELECT account, region, TRY_CAST(REPLACE(SUBSTR(event_time, 1, 13), 'T', ' ') || ':00:00' AS timestamp) AS at_hour,
    COUNT(*) AS records
FROM trail_lines
WHERE REGEXP_LIKE(event_time, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?Z$')
GROUP BY account, region, 3
