-- The files of the bucket, for Athena (engine version 3). Run each CREATE TABLE once. `report --sql` puts the views into
-- each query, so Athena needs no views.
--
-- Each table has one column of text. The views read the JSON, so one broken line does not end a query.

CREATE EXTERNAL TABLE raw_sessions (line string)
PARTITIONED BY (day string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001'
LOCATION 's3://${bucket}/exports/sessions/'
TBLPROPERTIES ('projection.enabled' = 'true', 'projection.day.type' = 'date', 'projection.day.format' = 'yyyy-MM-dd',
    'projection.day.range' = '2026-01-01,NOW+1DAY',
    'storage.location.template' = 's3://${bucket}/exports/sessions/day=${day}/');

CREATE EXTERNAL TABLE raw_doctor (line string)
PARTITIONED BY (day string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001'
LOCATION 's3://${bucket}/exports/doctor/'
TBLPROPERTIES ('projection.enabled' = 'true', 'projection.day.type' = 'date', 'projection.day.format' = 'yyyy-MM-dd',
    'projection.day.range' = '2026-01-01,NOW+1DAY',
    'storage.location.template' = 's3://${bucket}/exports/doctor/day=${day}/');

CREATE EXTERNAL TABLE raw_permissions (line string)
PARTITIONED BY (day string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001'
LOCATION 's3://${bucket}/exports/permissions/'
TBLPROPERTIES ('projection.enabled' = 'true', 'projection.day.type' = 'date', 'projection.day.format' = 'yyyy-MM-dd',
    'projection.day.range' = '2026-01-01,NOW+1DAY',
    'storage.location.template' = 's3://${bucket}/exports/permissions/day=${day}/');

-- CloudTrail writes files of at most 50 MB, each one line. `accounts` and `regions` are lists with commas.
CREATE EXTERNAL TABLE raw_trail (line string)
PARTITIONED BY (trail_account string, trail_region string, day string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001'
LOCATION 's3://${trail_bucket}/AWSLogs/'
TBLPROPERTIES ('projection.enabled' = 'true',
    'projection.trail_account.type' = 'enum', 'projection.trail_account.values' = '${accounts}',
    'projection.trail_region.type' = 'enum', 'projection.trail_region.values' = '${regions}',
    'projection.day.type' = 'date', 'projection.day.format' = 'yyyy/MM/dd',
    'projection.day.range' = '2026/01/01,NOW+1DAY',
    'storage.location.template' = 's3://${trail_bucket}/AWSLogs/${trail_account}/CloudTrail/${trail_region}/${day}/');

CREATE VIEW session_lines AS
SELECT
    file, day,
    TRY_CAST(json_extract_scalar(j, '$.schema_version') AS bigint) AS schema_version,
    json_extract_scalar(j, '$.kind') AS kind,
    json_extract_scalar(j, '$.id') AS id,
    TRY_CAST(json_extract_scalar(j, '$.final') AS boolean) AS final,
    json_extract_scalar(j, '$.agent_version') AS agent_version,
    json_extract_scalar(j, '$.export_state') AS export_state,
    TRY_CAST(json_extract_scalar(j, '$.export_number') AS bigint) AS export_number,
    json_extract_scalar(j, '$.exported_at') AS exported_at,
    json_extract_scalar(j, '$.instance_id') AS instance_id,
    json_extract_scalar(j, '$.account') AS account,
    json_extract_scalar(j, '$.region') AS region,
    json_extract_scalar(j, '$.boot_id') AS boot_id,
    COALESCE(json_extract_scalar(j, '$.start'), json_extract_scalar(j, '$.at'),
        json_extract_scalar(j, '$.covered_to')) AS happened_at,
    COALESCE(json_extract_scalar(j, '$.end'), json_extract_scalar(j, '$.covered_from')) AS other_at,
    json_extract_scalar(j, '$.state') AS state,
    TRY_CAST(json_extract_scalar(j, '$.seconds') AS bigint) AS seconds,
    json_extract_scalar(j, '$.user') AS login_user,
    json_extract_scalar(j, '$.method') AS method,
    json_extract_scalar(j, '$.address') AS address,
    json_extract_scalar(j, '$.fingerprint') AS fingerprint,
    TRY_CAST(json_extract_scalar(j, '$.attributed') AS boolean) AS attributed,
    CASE WHEN json_extract_scalar(j, '$.kind') = 'session'
         THEN transform(TRY(CAST(json_extract(j, '$.pushes') AS array(json))), x -> json_format(x))
         WHEN json_format(json_extract(j, '$.push')) LIKE '{%'
         THEN ARRAY[json_format(json_extract(j, '$.push'))] END AS pushes,
    json_extract_scalar(j, '$.reason') AS reason,
    TRY_CAST(json_extract_scalar(j, '$.count') AS bigint) AS key_count,
    TRY_CAST(json_extract_scalar(j, '$.complete') AS boolean) AS complete,
    TRY_CAST(json_extract_scalar(j, '$.all_logins') AS boolean) AS all_logins,
    json_extract_scalar(j, '$.not_known') AS not_known,
    transform(TRY(CAST(json_extract(j, '$.gaps') AS array(json))), x -> json_format(x)) AS gaps
FROM (
    SELECT "$path" AS file, day, TRY(json_parse(line)) AS j
    FROM raw_sessions
    WHERE day BETWEEN ${first_day} AND ${last_day} AND trim(line) <> ''
);

CREATE VIEW doctor_lines AS
SELECT
    file, day,
    TRY_CAST(json_extract_scalar(j, '$.schema_version') AS bigint) AS schema_version,
    json_extract_scalar(j, '$.version') AS agent_version,
    json_extract_scalar(j, '$.at') AS reported_at,
    json_extract_scalar(j, '$.instance.instance_id') AS instance_id,
    json_extract_scalar(j, '$.instance.account') AS account,
    json_extract_scalar(j, '$.instance.region') AS region
FROM (
    SELECT "$path" AS file, day, TRY(json_parse(line)) AS j
    FROM raw_doctor
    WHERE day BETWEEN ${known_day} AND ${last_day} AND trim(line) <> ''
);

CREATE VIEW trail_lines AS
SELECT
    file,
    json_extract_scalar(record, '$.eventID') AS event_id,
    json_extract_scalar(record, '$.eventName') AS event_name,
    json_extract_scalar(record, '$.eventSource') AS event_source,
    json_extract_scalar(record, '$.eventTime') AS event_time,
    json_extract_scalar(record, '$.awsRegion') AS region,
    json_extract_scalar(record, '$.recipientAccountId') AS account,
    json_extract_scalar(record, '$.sourceIPAddress') AS source_address,
    json_extract_scalar(record, '$.errorCode') AS error_code,
    json_extract_scalar(record, '$.requestID') AS request_id,
    json_extract_scalar(record, '$.userIdentity.arn') AS principal,
    json_extract_scalar(record, '$.userIdentity.accountId') AS principal_account,
    json_extract_scalar(record, '$.userIdentity.sessionContext.attributes.mfaAuthenticated') AS mfa,
    json_extract_scalar(record, '$.requestParameters.instanceId') AS instance_id,
    json_extract_scalar(record, '$.requestParameters.osUser') AS os_user
FROM (
    SELECT "$path" AS file,
        COALESCE(TRY(CAST(json_extract(json_parse(line), '$.Records') AS array(json))), ARRAY[NULL]) AS records
    FROM raw_trail
    WHERE day BETWEEN ${first_trail_day} AND ${last_trail_day} AND trim(line) <> ''
)
CROSS JOIN UNNEST(records) AS r(record);

CREATE VIEW permission_lines AS
SELECT
    file,
    json_extract_scalar(j, '$.principal') AS principal,
    json_extract_scalar(j, '$.account') AS account,
    json_extract_scalar(j, '$.action') AS action,
    json_extract_scalar(j, '$.decision') AS decision,
    json_extract_scalar(j, '$.collected_at') AS collected_at
FROM (
    SELECT "$path" AS file, day, TRY(json_parse(line)) AS j
    FROM raw_permissions
    WHERE day BETWEEN ${first_day} AND ${last_day} AND trim(line) <> ''
);
