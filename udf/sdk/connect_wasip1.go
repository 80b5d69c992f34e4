package udf

import (
	"io"
	"syscall"
	"unsafe"
)

//go:wasmimport volley recv
func hostRecv(p unsafe.Pointer, n uint32) uint32

//go:wasmimport volley send
func hostSend(p unsafe.Pointer, n uint32)

//go:wasmimport volley slot
func hostSlot(out, j uint32, p unsafe.Pointer, n uint32) uint32

//go:wasmimport volley progress
func hostProgress(p unsafe.Pointer)

//go:wasmimport volley stop
func hostStop(p unsafe.Pointer)

// hostConn is the control socket of a module: frames through imports, of which
// recv waits.
type hostConn struct{}

func (hostConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n := hostRecv(unsafe.Pointer(&b[0]), uint32(len(b)))
	if n == 0 {
		return 0, io.EOF
	}
	return int(n), nil
}

func (hostConn) Write(b []byte) (int, error) {
	if len(b) > 0 {
		hostSend(unsafe.Pointer(&b[0]), uint32(len(b)))
	}
	return len(b), nil
}

// place asks the host to make mem, which begins at a multiple of slotAlign, the slot
// itself; false: it cannot, and columns are copied. Without mem the memory that was
// the slot becomes the module's own again, which must be before it is let go.
func place(out bool, j int, mem []byte) bool {
	o := uint32(0)
	if out {
		o = 1
	}
	if mem == nil {
		return hostSlot(o, uint32(j), nil, 0) != 0
	}
	return hostSlot(o, uint32(j), unsafe.Pointer(&mem[0]), uint32(len(mem))) != 0
}

// connect takes the imports for the control socket; where slots cannot be placed
// columns come with their frames and are copied into the module's memory by the host.
func connect(p *plugin) *server {
	return &server{plugin: p, conn: hostConn{}, place: place, attach: func(s *stream) {
		// The host looks at the counter itself: it tells slow from stuck.
		hostProgress(unsafe.Pointer(&s.progress))
		// And it sets the flag that user code looks at: the frame that says the same is
		// read only when the stream waits for something.
		hostStop(unsafe.Pointer(&s.stop))
	}}
}

func (srv *server) mapped(uint64, uint64) ([]byte, error) { return nil, syscall.ENOSYS }
