package pgcatalog

// volleyTables are the tables of the schema volley in the notation of
// parseTables: what Postgres has no table for.
const volleyTables = `
workers 15001 v
	id text, address text, state text, version text, slots int4, running int4, memory_bytes int8?, started timestamptz?,
	last_seen timestamptz?
function_versions 15004 v
	function text, version int4, digest text?, created_by name?, created_at timestamptz?, active bool, canary float8?
artifacts 15002 v
	digest text, name text, version text?, runtime text?, functions text[], platforms text[], size int8, owner name?,
	created timestamptz?, last_used timestamptz?, signed_by text[], referenced_by text[], manifest text?
functions 15003 v
	oid oid, schema name, function name, arguments text, version int4, current bool, kind text, language name,
	digest text?, symbol text?, volatility text, strict bool, memory_limit int8?, timeout interval?, owner name,
	created timestamptz?, comment text?
udf_errors 15021 v
	query_id text, function text, version int4?, digest text, key text?, row_no int8?, args text?, message text, sqlstate text,
	stack text?, attempt int4, at timestamptz?
udf_stats 15022 v
	function text, version int4?, digest text, queries int8, calls int8, batches int8, rows int8, cache_hits int8, restarts int8,
	errors int8, user_ms float8, transfer_ms float8, queue_ms float8, cold_start_ms float8
query_receipts 15031 v
	query_id text, user_name name, database name, command text, statement text, started timestamptz?, duration_ms float8, state text,
	rows int8?, result_hash text?, error text?
udf_logs 15023 v
	at timestamptz?, query_id text?, function text?, digest text?, worker text?, level text, line text
`
