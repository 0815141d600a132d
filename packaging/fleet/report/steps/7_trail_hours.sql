-- The hours of which CloudTrail's files have any record, by account and region. In the other hours, CloudTrail may have
-- been off, or its files were not read: nobody knows whether there was a push.
SELECT account, region, at_hour
FROM trail_files
WHERE at_hour IS NOT NULL
GROUP BY account, region, at_hour
