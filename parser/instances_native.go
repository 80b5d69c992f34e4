//go:build pgquery_cgo

package parser

// dropInstances has nothing to drop: through cgo the library keeps no instances.
func dropInstances() {}
