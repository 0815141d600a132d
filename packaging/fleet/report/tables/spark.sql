-- The files of the bucket, for Apache Spark 4. Each view has one row for each line (CloudTrail: for each record). A line
-- that cannot be read has a row in which every field is null: one broken line does not end a query.
--
-- `try_parse_json` ignores what follows the first value. So the line is read as the one element of an array.

CREATE TEMPORARY VIEW raw_sessions USING text OPTIONS (path '${data}/exports/sessions');

CREATE TEMPORARY VIEW session_lines AS
SELECT
    file, day,
    try_variant_get(v, '$[0].schema_version', 'bigint') AS schema_version,
    try_variant_get(v, '$[0].kind', 'string') AS kind,
    try_variant_get(v, '$[0].id', 'string') AS id,
    try_variant_get(v, '$[0].final', 'boolean') AS final,
    try_variant_get(v, '$[0].agent_version', 'string') AS agent_version,
    try_variant_get(v, '$[0].export_state', 'string') AS export_state,
    try_variant_get(v, '$[0].export_number', 'bigint') AS export_number,
    try_variant_get(v, '$[0].exported_at', 'string') AS exported_at,
    try_variant_get(v, '$[0].instance_id', 'string') AS instance_id,
    try_variant_get(v, '$[0].account', 'string') AS account,
    try_variant_get(v, '$[0].region', 'string') AS region,
    try_variant_get(v, '$[0].boot_id', 'string') AS boot_id,
    coalesce(try_variant_get(v, '$[0].start', 'string'), try_variant_get(v, '$[0].at', 'string'),
        try_variant_get(v, '$[0].covered_to', 'string')) AS happened_at,
    coalesce(try_variant_get(v, '$[0].end', 'string'), try_variant_get(v, '$[0].covered_from', 'string')) AS other_at,
    try_variant_get(v, '$[0].state', 'string') AS state,
    try_variant_get(v, '$[0].seconds', 'bigint') AS seconds,
    try_variant_get(v, '$[0].user', 'string') AS login_user,
    try_variant_get(v, '$[0].method', 'string') AS method,
    try_variant_get(v, '$[0].address', 'string') AS address,
    try_variant_get(v, '$[0].fingerprint', 'string') AS fingerprint,
    try_variant_get(v, '$[0].attributed', 'boolean') AS attributed,
    CASE WHEN try_variant_get(v, '$[0].kind', 'string') = 'session'
         THEN try_variant_get(v, '$[0].pushes', 'array<string>')
         WHEN try_variant_get(v, '$[0].push', 'string') LIKE '{%'
         THEN array(try_variant_get(v, '$[0].push', 'string')) END AS pushes,
    try_variant_get(v, '$[0].reason', 'string') AS reason,
    try_variant_get(v, '$[0].count', 'bigint') AS key_count,
    try_variant_get(v, '$[0].complete', 'boolean') AS complete,
    try_variant_get(v, '$[0].all_logins', 'boolean') AS all_logins,
    try_variant_get(v, '$[0].not_known', 'string') AS not_known,
    try_variant_get(v, '$[0].gaps', 'array<string>') AS gaps
FROM (
    SELECT
        regexp_extract(input_file_name(), '(exports/(sessions|doctor|permissions)/day=.*)$', 1) AS file, day,
        CASE WHEN variant_get(v, '$[1]') IS NULL THEN v END AS v
    FROM (SELECT *, try_parse_json(concat('[', value, ']')) AS v FROM raw_sessions WHERE trim(value) <> '')
    WHERE day BETWEEN ${first_day} AND ${last_day}
);

CREATE TEMPORARY VIEW raw_doctor USING text OPTIONS (path '${data}/exports/doctor');

CREATE TEMPORARY VIEW doctor_lines AS
SELECT
    regexp_extract(input_file_name(), '(exports/(sessions|doctor|permissions)/day=.*)$', 1) AS file, day,
    try_variant_get(v, '$[0].schema_version', 'bigint') AS schema_version,
    try_variant_get(v, '$[0].version', 'string') AS agent_version,
    try_variant_get(v, '$[0].at', 'string') AS reported_at,
    try_variant_get(v, '$[0].instance.instance_id', 'string') AS instance_id,
    try_variant_get(v, '$[0].instance.account', 'string') AS account,
    try_variant_get(v, '$[0].instance.region', 'string') AS region
FROM (SELECT *, try_parse_json(concat('[', value, ']')) AS v FROM raw_doctor WHERE trim(value) <> '')
WHERE day BETWEEN ${known_day} AND ${last_day};

-- CloudTrail writes files of at most 50 MB, each one line.
CREATE TEMPORARY VIEW raw_trail USING text OPTIONS (path '${data}/AWSLogs/*/CloudTrail/*/*/*/*');

CREATE TEMPORARY VIEW trail_lines AS
SELECT
    file,
    try_variant_get(v, '$.eventID', 'string') AS event_id,
    try_variant_get(v, '$.eventName', 'string') AS event_name,
    try_variant_get(v, '$.eventSource', 'string') AS event_source,
    try_variant_get(v, '$.eventTime', 'string') AS event_time,
    try_variant_get(v, '$.awsRegion', 'string') AS region,
    try_variant_get(v, '$.recipientAccountId', 'string') AS account,
    try_variant_get(v, '$.sourceIPAddress', 'string') AS source_address,
    try_variant_get(v, '$.errorCode', 'string') AS error_code,
    try_variant_get(v, '$.requestID', 'string') AS request_id,
    try_variant_get(v, '$.userIdentity.arn', 'string') AS principal,
    try_variant_get(v, '$.userIdentity.accountId', 'string') AS principal_account,
    try_variant_get(v, '$.userIdentity.sessionContext.attributes.mfaAuthenticated', 'string') AS mfa,
    try_variant_get(v, '$.requestParameters.instanceId', 'string') AS instance_id,
    try_variant_get(v, '$.requestParameters.osUser', 'string') AS os_user
FROM (
    SELECT file, try_parse_json(record) AS v
    FROM (
        SELECT regexp_extract(input_file_name(), '(AWSLogs/.*)$', 1) AS file,
            from_json(value, 'Records array<string>').Records AS records
        FROM raw_trail WHERE trim(value) <> ''
    ) LATERAL VIEW OUTER explode(records) AS record
    WHERE regexp_extract(file, '/([0-9]{4}/[0-9]{2}/[0-9]{2})/', 1)
        BETWEEN ${first_trail_day} AND ${last_trail_day}
);

CREATE TEMPORARY VIEW raw_permissions USING text OPTIONS (path '${data}/exports/permissions');

CREATE TEMPORARY VIEW permission_lines AS
SELECT
    regexp_extract(input_file_name(), '(exports/(sessions|doctor|permissions)/day=.*)$', 1) AS file,
    try_variant_get(v, '$[0].principal', 'string') AS principal,
    try_variant_get(v, '$[0].account', 'string') AS account,
    try_variant_get(v, '$[0].action', 'string') AS action,
    try_variant_get(v, '$[0].decision', 'string') AS decision,
    try_variant_get(v, '$[0].collected_at', 'string') AS collected_at
FROM (SELECT *, try_parse_json(concat('[', value, ']')) AS v FROM raw_permissions WHERE trim(value) <> '')
WHERE day BETWEEN ${first_day} AND ${last_day};
