package clients

import "testing"

// What clients ask of the catalog in ways that ordinary queries do not.
func TestCatalogQueries(t *testing.T) {
	s := start(t, nil)
	s.functions(t)
	s.run(t, `create table t(id int not null, a text); create view v as select id from t; create role ann login;
		comment on table t is 'the table'; comment on column t.a is 'a text'; comment on schema public is 'ours'`)
	c := s.connect(t, "volley", "sslmode=disable")
	steps(t, c, [][2]string{
		// System columns exist, but only for those who name them.
		{"select tableoid::regclass from pg_class limit 1", "[pg_class]"},
		{"select c.tableoid = 'pg_class'::regclass from pg_class c where relname = 't'", "[t]"},
		{"select count(*) from (select * from pg_am) q", "[1]"},
		{"select tableoid from (select * from pg_am) q", "0A000"},
		{"select a.oid from pg_class a join pg_namespace n on n.oid = a.relnamespace and n.tableoid = 2615 and a.relname = 't' where a.oid <> 't'::regclass", "SELECT 0"},
		{"select ctid from t", "0A000"},
		// Comments and privileges.
		{"select obj_description('t'::regclass) || ', ' || obj_description('t'::regclass, 'pg_class')", "[the table, the table]"},
		{"select col_description('t'::regclass, 2)", "[a text]"},
		{"select col_description('t'::regclass, 1) is null", "[t]"},
		{"select obj_description('public'::regnamespace, 'pg_namespace')", "[ours]"},
		{"select has_table_privilege('t', 'select') and has_table_privilege('ann', 'pg_class', 'SELECT')", "[t]"},
		{"select has_table_privilege('ann', 't', 'select, insert')", "[f]"},
		{"select has_table_privilege('ann', 't'::regclass::oid, 'SELECT WITH GRANT OPTION')", "[f]"},
		{"select has_table_privilege('t', 'fly')", "22023"},
		{"select has_table_privilege('nosuch', 'select')", "42P01"},
		{"select has_table_privilege(1::oid, 'select') is null", "[t]"},
		{"select has_schema_privilege('ann', 'public', 'usage')", "[t]"},
		{"select has_function_privilege('twice(float8)', 'execute')", "[t]"},
		{"select has_column_privilege('t', 'a', 'select')", "[t]"},
		// Names of functions and types.
		{"select 'score_udf'::regproc::oid = 'score_udf(float8, bigint)'::regprocedure::oid", "[t]"},
		{"select 'public.twice'::regproc", "[twice]"},
		{"select 'pg_catalog.array_in'::regproc", "[array_in]"},
		{"select 'nosuch'::regproc", "42883"},
		{"select 'sum'::regproc", "42725"},
		{"select 'trigger'::regtype::text, format_type(2279, null)", "[trigger]"},
		{`select '"pg_catalog"."int4"'::regtype`, "[integer]"},
		{`select pg_typeof('s'::"char")`, `["char"]`},
		{"select count(*) from pg_type where typname[0] = '_' and typelem = 23", "[1]"},
		// Arrays of the catalogs.
		{"select count(*) from pg_index i join pg_attribute a on a.attnum = any(i.indkey)", "[0]"},
		{"select 2::int2 = any('1 2'::int2vector) and 3::int2 <> all('1 2'::int2vector)", "[t]"},
		{"select (information_schema._pg_expandarray(array['a','b'])).n", "[1 2]"},
		{"select x || n from information_schema._pg_expandarray(array['a','b']) as e(x, n)", "[a1 b2]"},
		{"select (pg_get_keywords()).nosuch", "42703"},
		{"select _pg_expandarray(array[1])", "42883"},
		{"select option_value from pg_options_to_table(array['a=1', 'b'])", "[1 ]"},
		// The name of a function in FROM is its value.
		{"select s from generate_series(1, 2) s", "[1 2]"},
		{"select s + i from generate_series(1, 2) as s(i)", "[2 4]"},
		{"select trim(s[i]) from generate_series(1, 2) as i, string_to_array('a, b', ',') s", "[a b]"},
		// Rows as a whole.
		{"select count(*) from (values (1, null), (2, 3), (null, null)) r(a, b) where r.* is not null", "[1]"},
		{"select count(*) from (values (1, null), (2, 3), (null, null)) r(a, b) where r is null", "[1]"},
		{"select row(1, null) is null, row(null, null) is null", "[f]"},
		{"select r from (values (1, 2)) r(a, b)", "[(1,2)]"},
		// Subqueries in ON of an outer join, over the left, the right and both sides.
		{"select count(b.x) from generate_series(1, 4) a(x) left join generate_series(1, 4) b(x) on b.x = (select max(z) from generate_series(1, 2) z where z <= a.x)", "[4]"},
		{"select count(a.x) from generate_series(1, 4) a(x) right join generate_series(1, 6) b(x) on a.x = (select max(z) from generate_series(1, 2) z where z <= b.x)", "[6]"},
		{"select count(*) from generate_series(1, 3) a(x) full join generate_series(2, 4) b(x) on a.x = b.x and exists (select 1 from generate_series(1, 2) z where z = b.x)", "[5]"},
		{"select count(b.x) from generate_series(1, 3) a(x) left join generate_series(1, 3) b(x) on exists (select 1 from generate_series(1, 9) z where z = a.x * b.x and a.x = b.x)", "[3]"},
		{"select count(a.x) from generate_series(1, 3) a(x) right join generate_series(1, 3) b(x) on exists (select 1 from generate_series(1, 9) z where z = a.x * b.x and a.x = b.x)", "[3]"},
		// The schema volley is there, but is nobody's own.
		{"select current_schemas(false)", "[{public}]"},
		{"set search_path = volley", "SET"},
		{"select count(*) > 0 from workers", "[t]"},
		{"create schema volley", "42P06"},
		{"create schema if not exists volley", "CREATE SCHEMA"},
	})
}
