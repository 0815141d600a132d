-- The files of a local copy of the bucket, for DuckDB. Each view has one row for each line (CloudTrail: for each record).
-- A line that cannot be read has a row in which every field is null: one broken line does not end a query.

CREATE VIEW session_lines AS
SELECT
    regexp_extract(filename, '(exports/(sessions|doctor)/day=.*)$', 1) AS file,
    regexp_extract(filename, 'day=([0-9]{4}-[0-9]{2}-[0-9]{2})/', 1) AS day,
    schema_version, kind, id, final, agent_version, export_state, export_number, exported_at,
    instance_id, account, region, boot_id,
    coalesce("start", "at", covered_to) AS happened_at,
    coalesce("end", covered_from) AS other_at,
    state, seconds, "user" AS login_user, method, address, fingerprint, attributed,
    CASE WHEN kind = 'session' THEN CAST(pushes AS VARCHAR[])
         WHEN push LIKE '{%' THEN [CAST(push AS VARCHAR)] END AS pushes,
    reason, "count" AS key_count, complete, all_logins, not_known,
    CAST(gaps AS VARCHAR[]) AS gaps
FROM read_json(${session_files}, format = 'newline_delimited', ignore_errors = true, filename = true,
    columns = {schema_version: 'BIGINT', kind: 'VARCHAR', id: 'VARCHAR', final: 'BOOLEAN', agent_version: 'VARCHAR',
        export_state: 'VARCHAR', export_number: 'BIGINT', exported_at: 'VARCHAR', instance_id: 'VARCHAR',
        account: 'VARCHAR', region: 'VARCHAR', boot_id: 'VARCHAR', "start": 'VARCHAR', "end": 'VARCHAR',
        "at": 'VARCHAR', covered_from: 'VARCHAR', covered_to: 'VARCHAR', state: 'VARCHAR', seconds: 'BIGINT',
        "user": 'VARCHAR', method: 'VARCHAR', address: 'VARCHAR', fingerprint: 'VARCHAR', attributed: 'BOOLEAN',
        pushes: 'JSON[]', push: 'JSON', reason: 'VARCHAR', "count": 'BIGINT', complete: 'BOOLEAN',
        all_logins: 'BOOLEAN', not_known: 'VARCHAR', gaps: 'JSON[]'});

CREATE VIEW doctor_lines AS
SELECT
    regexp_extract(filename, '(exports/(sessions|doctor)/day=.*)$', 1) AS file,
    regexp_extract(filename, 'day=([0-9]{4}-[0-9]{2}-[0-9]{2})/', 1) AS day,
    schema_version, version AS agent_version, "at" AS reported_at,
    instance.instance_id AS instance_id, instance.account AS account, instance.region AS region
FROM read_json(${doctor_files}, format = 'newline_delimited', ignore_errors = true, filename = true,
    columns = {schema_version: 'BIGINT', version: 'VARCHAR', "at": 'VARCHAR',
        instance: 'STRUCT(instance_id VARCHAR, account VARCHAR, region VARCHAR)'});

-- CloudTrail writes files of at most 50 MB, each one line.
CREATE VIEW trail_lines AS
SELECT
    file, r.eventID AS event_id, r.eventName AS event_name, r.eventSource AS event_source, r.eventTime AS event_time,
    r.awsRegion AS region, r.recipientAccountId AS account, r.sourceIPAddress AS source_address,
    r.errorCode AS error_code, r.requestID AS request_id, r.userIdentity.arn AS principal,
    r.userIdentity.accountId AS principal_account,
    r.userIdentity.sessionContext."attributes".mfaAuthenticated AS mfa,
    r.requestParameters.instanceId AS instance_id, r.requestParameters.osUser AS os_user
FROM (
    SELECT regexp_extract(filename, '(AWSLogs/.*)$', 1) AS file, unnest(coalesce(Records, [NULL])) AS r
    FROM read_json(${trail_files}, format = 'newline_delimited', ignore_errors = true, filename = true,
        maximum_object_size = 134217728,
        columns = {Records: 'STRUCT(eventID VARCHAR, eventName VARCHAR, eventSource VARCHAR, eventTime VARCHAR,
            awsRegion VARCHAR, recipientAccountId VARCHAR, sourceIPAddress VARCHAR, errorCode VARCHAR,
            requestID VARCHAR, userIdentity STRUCT(arn VARCHAR, accountId VARCHAR,
                sessionContext STRUCT("attributes" STRUCT(mfaAuthenticated VARCHAR))),
            requestParameters STRUCT(instanceId VARCHAR, osUser VARCHAR))[]'})
);

CREATE VIEW permission_lines AS
SELECT regexp_extract(filename, '(exports/permissions/day=.*)$', 1) AS file, principal, account, action, decision, collected_at
FROM read_json(${permission_files}, format = 'newline_delimited', ignore_errors = true, filename = true,
    columns = {principal: 'VARCHAR', account: 'VARCHAR', action: 'VARCHAR', decision: 'VARCHAR',
        collected_at: 'VARCHAR'});
