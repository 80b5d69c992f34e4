//go:build !pgquery_cgo

package parser

import (
	"container/list"
	"sync"
	_ "unsafe" // for go:linkname
)

// The library puts an instance back into its pool even after a panic inside it,
// and the next call that gets it may never return. It has no way to remove one,
// hence the reach into its variables; the version in go.mod fixes what they are,
// TestGuardedPanic fails if they change.

//go:linkname abiPool github.com/wasilibs/go-pgquery/parser.abiPool
var abiPool *list.List

//go:linkname abiPoolMu github.com/wasilibs/go-pgquery/parser.abiPoolMu
var abiPoolMu sync.Mutex

// dropInstances empties the pool; later calls make new instances.
func dropInstances() {
	abiPoolMu.Lock()
	defer abiPoolMu.Unlock()
	abiPool.Init()
}
