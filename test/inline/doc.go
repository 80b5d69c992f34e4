// Package inline tests Go source in CREATE FUNCTION and CREATE AGGREGATE: every
// kind of function in every form, and what is said of source that is wrong.
package inline
