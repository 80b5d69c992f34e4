// Package registry tests what SQL says of functions: their versions, canaries,
// extensions and rights, on an engine inside the test.
package registry
