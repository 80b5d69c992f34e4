-- Tables, views and what psql shows of them.
create table t(id int not null, a text default 'x', b numeric(10,2));
create view v as select id, a from t;
create table "Ta b"("X y" int, z timestamptz, e float8[]);
create schema s;
create table s.hidden(x int);
comment on table t is 'the table';
comment on column t.a is 'a text';
\d
\d+
\dt
\dt+
\dt *.hidden
\dv
\dv+
\di
\d t
\d+ t
\d v
\d+ v
\d "Ta b"
\d s.*
\d nosuch
\d volley.workers
\dS pg_am
-- Functions: the user's own, and built-ins when they are asked for.
\df
\df+ score*
\da
\sf score_udf
\sf twice(double precision)
\sf nosuch
\sf lower
\df lower
\da sum
\df+ lower
-- Schemas, roles, the database and what there is none of.
\dn
\dn+
\du
\l
\dx
\dT
\dT int4
\dconfig search_path
\db
\sv v
\encoding
-- COPY.
\copy t from stdin csv
1,a,1.5
2,"b ""q""",
3,,2
\.
\copy t to stdout csv header
\copy t to stdout
\copy t(id, a) from stdin
4	tab\there
5	\N
\.
\copy (select id, a from t where id > 2 order by id) to stdout (format csv, header, force_quote *)
\copy t from stdin
x	y	z
\.
\copy t from stdin csv
7
\.
\copy nosuch from stdin
select count(*) from t;
-- Statements over lines, several at once, and other ways to send them.
select 1 as one,
  'two' -- a comment; with a semicolon
  as two
;
select 1 as a; select 2 as b \; select 3 as c;
select 42 as x \gset
\echo :x
select 1.5 as n, now() as t \gdesc
select id, a from t order by id limit 1 \gx
select 'select 4 as four' \gexec
values (1, 'a'), (2, null);
select null, true, 1.5::numeric, '{1,2}'::int[] as i, '{"a b",NULL}'::text[] as s, 'lower'::regproc, 't'::regclass;
begin;
insert into t values (9);
select 1/0;
select 1;
commit;
select count(*) from t where id = 9;
drop table if exists nosuch;
-- Errors point at their place.
select * from nosuch;
select id,
  foo
from t;
select 1 +;
select 'é', nofunc(1);
select $1;
select id from t where a = 1;
prepare p as select 1;
execute p;
listen x;
create schema volley;
set search_path = volley, public;
select current_schemas(false);
