package wasmhost

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// mapNoReserve keeps the system from counting address space as memory.
const mapNoReserve = syscall.MAP_NORESERVE

// mapFixed replaces mem, of this program's mappings, by the shared memory from off
// on, or by empty memory if off is negative.
func mapFixed(mem []byte, off int64) error {
	fd, flags := wire.MemoryFD, unix.MAP_SHARED
	if off < 0 {
		fd, off, flags = -1, 0, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE
	}
	_, err := unix.MmapPtr(fd, off, unsafe.Pointer(&mem[0]), uintptr(len(mem)), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	return err
}
