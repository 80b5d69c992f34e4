package function

// operatorProcs names the function behind each operator as Postgres does.
var operatorProcs = map[string]string{}

// procOIDs holds the OIDs of pg_proc.
var procOIDs = map[string]uint32{}
