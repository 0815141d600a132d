-- The reports of doctor. Those of older versions do not name their instance, but their file does.
SELECT
    file, schema_version,
    COALESCE(instance_id, NULLIF(REGEXP_EXTRACT(file, '_(i-[0-9a-f]{8,32})_[0-9]{6}Z', 1), '')) AS instance_id,
    COALESCE(account, NULLIF(REGEXP_EXTRACT(file, '/([0-9]{12})_[^/]*$', 1), '')) AS account,
    COALESCE(region, NULLIF(REGEXP_EXTRACT(file, '/[0-9]{12}_([a-z0-9-]+)_[^/]*$', 1), '')) AS region
FROM doctor_lines
