package coordinator

// acceptedSettings are settings of Postgres that drivers and tools set without
// asking and that change nothing here: plans, storage and checks of another
// engine. They keep the value that they are given, for SHOW.
func acceptedSettings() []setting {
	const planning, behavior, compatibility = "Query Tuning / Planner Method Configuration",
		"Client Connection Defaults / Statement Behavior", "Version and Platform Compatibility"
	var out []setting
	add := func(category, kind string, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, setting{name: pairs[i], kind: kind, def: pairs[i+1], max: 1 << 40, category: category,
				doc: "Accepted for clients that set it."})
		}
	}
	add(planning, "bool", "enable_bitmapscan", "on", "enable_hashagg", "on", "enable_hashjoin", "on", "enable_indexscan", "on",
		"enable_indexonlyscan", "on", "enable_material", "on", "enable_mergejoin", "on", "enable_nestloop", "on", "enable_seqscan", "on",
		"enable_sort", "on", "enable_tidscan", "on", "geqo", "on", "jit", "off")
	add(planning, "integer", "from_collapse_limit", "8", "join_collapse_limit", "8", "max_parallel_workers_per_gather", "2",
		"default_statistics_target", "100")
	add(planning, "string", "plan_cache_mode", "auto", "constraint_exclusion", "partition", "random_page_cost", "4", "cursor_tuple_fraction", "0.1")
	add(behavior, "bool", "check_function_bodies", "on", "default_transaction_deferrable", "off", "transaction_deferrable", "off")
	add(behavior, "string", "default_table_access_method", "heap", "default_tablespace", "", "temp_tablespaces", "", "session_replication_role", "origin",
		"xmloption", "content", "maintenance_work_mem", "64MB")
	add(compatibility, "bool", "quote_all_identifiers", "off", "synchronize_seqscans", "on", "transform_null_equals", "off", "array_nulls", "on")
	return out
}
