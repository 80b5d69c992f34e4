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
	digest text, name text, size int8, owner name, created timestamptz?, manifest text?
functions 15003 v
	oid oid, schema name, function name, arguments text, version int4, current bool, kind text, language name,
	digest text?, symbol text?, volatility text, strict bool, memory_limit int8?, timeout interval?, owner name,
	created timestamptz?, comment text?
`
