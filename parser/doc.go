// Package parser turns SQL text into Postgres parse trees.
//
// The grammar is that of Postgres itself (libpg_query). The clauses that
// Volley adds are rewritten into it on the token stream before the parse, with
// an offset map, so that every position in an error is one in the text that
// the user wrote; strings, comments and dollar quotes are never touched.
//
//	SELECT list FROM t WHERE w GROUP BY g APPLY f(x ORDER BY o) AS a HAVING h ORDER BY s
//
// becomes
//
//	SELECT list FROM (SELECT volley_apply(f(x ORDER BY o)), g FROM t WHERE w GROUP BY g HAVING h) AS a ORDER BY s
//
// QUALIFY, GROUP BY ALL, ORDER BY ALL, * EXCLUDE, ASOF, SEMI and ANTI JOIN are edits
// in place (clauses.go) that the planner knows by reserved names. Clauses of other
// dialects that Postgres' grammar would silently take for an alias (SAMPLE, …) are
// refused with 0A000, never misread.
//
// Built with the tag pgquery_cgo the package calls libpg_query through cgo,
// otherwise as WebAssembly, which takes about a second at first use (see Warm).
package parser
