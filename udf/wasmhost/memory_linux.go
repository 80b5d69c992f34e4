package wasmhost

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapNoReserve keeps the system from counting address space as memory.
const mapNoReserve = syscall.MAP_NORESERVE

// mapFixed replaces mem, of this program's mappings, by a file from off on, or by
// empty memory if fd is negative.
func mapFixed(mem []byte, fd int, off int64) error {
	flags := unix.MAP_SHARED
	if fd < 0 {
		flags = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE
	}
	_, err := unix.MmapPtr(fd, off, unsafe.Pointer(&mem[0]), uintptr(len(mem)), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	return err
}
