-- The reports of doctor. The instance is that of the file's name, as in `lines`.
SELECT
    file, schema_version,
    COALESCE(NULLIF(REGEXP_EXTRACT(file, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), ''), instance_id) AS instance_id,
    COALESCE(instance_id <> COALESCE(NULLIF(REGEXP_EXTRACT(file, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), ''), ''), false) AS names_other,
    COALESCE(account, NULLIF(REGEXP_EXTRACT(file, '/([0-9]{12})_[^/]*$', 1), '')) AS account,
    COALESCE(region, NULLIF(REGEXP_EXTRACT(file, '/[0-9]{12}_([a-z0-9-]+)_[^/]*$', 1), '')) AS region
FROM doctor_lines
