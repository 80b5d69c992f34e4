// Package mysql translates statements in MySQL's dialect into Postgres' grammar.
//
// The text is parsed by Vitess' parser and written anew with the meaning that it
// has in MySQL: / divides decimals, || is OR, NULLs come first, CONCAT of NULL is
// NULL. What has no translation is refused with 0A000 and its place; nothing is
// passed through on the chance that it means the same. Statements about the session
// and transactions (SET, BEGIN, …) are taken as Postgres' own, which is also how
// SET volley.dialect = 'postgres' leads back.
//
// Text is compared as everywhere in Volley, by its bytes, so that LIKE, = and
// REGEXP distinguish upper and lower case.
package mysql
