-- Each push that an event names. If several lines of a log name it for the event, it is here once.
SELECT
    instance_id, id, principal, principal_account, request_id, BOOL_OR(verified = 'true') AS verified,
    MAX(kind) AS kind, MAX(reason) AS reason
FROM (
    SELECT
        e.instance_id, e.id, e.kind, e.reason,
        JSON_EXTRACT_SCALAR(p.push, '$.principal') AS principal,
        JSON_EXTRACT_SCALAR(p.push, '$.account') AS principal_account,
        JSON_EXTRACT_SCALAR(p.push, '$.request_id') AS request_id,
        COALESCE(JSON_EXTRACT_SCALAR(p.push, '$.verified'), 'false') AS verified
    FROM events AS e
    CROSS JOIN UNNEST(e.pushes) AS p(push)
)
GROUP BY instance_id, id, principal, principal_account, request_id
