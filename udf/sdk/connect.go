//go:build !wasip1

package udf

import (
	"os"
	"runtime/debug"
	"syscall"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// connect takes the control socket and the shared memory from the host.
func connect(p *plugin) *server {
	syscall.CloseOnExec(wire.ControlFD)
	syscall.CloseOnExec(wire.MemoryFD)
	return &server{plugin: p, ballast: make([]byte, min(debug.SetMemoryLimit(-1)/32, 16<<20)),
		conn: os.NewFile(wire.ControlFD, "control"), shared: os.Getenv(wire.EnvShared) != "", ownProcess: true}
}

// mapped maps a region of the shared memory. A mapping stays for ever: the host
// gives the same regions out again and again, and frees their pages itself.
func (srv *server) mapped(off, size uint64) ([]byte, error) {
	if mem := srv.maps[off]; len(mem) == int(size) {
		return mem, nil
	}
	mem, err := syscall.Mmap(wire.MemoryFD, int64(off), int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err == nil {
		srv.maps[off] = mem
	}
	return mem, err
}
