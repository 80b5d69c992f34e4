package wasmhost

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/tetratelabs/wazero/experimental"
)

// slotAlign is what the addresses and sizes of slots must be multiples of that lie in
// a module's memory.
const slotAlign = 64 << 10

var errNoSlot = errors.New("a slot cannot lie there")

// linear is the memory of one instance: address space for the most it may have,
// of which the system gives pages as they are touched. So memory never moves, and
// none of it belongs to the collector.
type linear struct {
	limit uint64
	file  int        // descriptor of the memory that is shared with the host
	mu    sync.Mutex // against Free
	buf   []byte
	full  atomic.Bool // growing was refused
}

// Allocate implements experimental.MemoryAllocator for one instance.
func (l *linear) Allocate(_, most uint64) experimental.LinearMemory {
	buf, err := syscall.Mmap(-1, 0, int(min(most, l.limit)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|mapNoReserve)
	if err != nil {
		buf = nil // Reallocate says so
	}
	l.buf = buf
	return l
}

// Reallocate implements experimental.LinearMemory.
func (l *linear) Reallocate(size uint64) []byte {
	if size > uint64(len(l.buf)) {
		l.full.Store(true)
		return nil
	}
	return l.buf[:size:len(l.buf)]
}

// Free implements experimental.LinearMemory.
func (l *linear) Free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf != nil {
		_ = syscall.Munmap(l.buf)
		l.buf = nil
	}
}

// counter reads the module's 8 bytes at address at while it may run; 0 when they
// are not there.
func (l *linear) counter(at uint32) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at == 0 || at%8 != 0 || uint64(at)+8 > uint64(len(l.buf)) {
		return 0
	}
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&l.buf[at])))
}

// raise makes the module's 4 bytes at address at the number 1 while it may run.
func (l *linear) raise(at uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at != 0 && at%4 == 0 && uint64(at)+4 <= uint64(len(l.buf)) {
		atomic.StoreUint32((*uint32)(unsafe.Pointer(&l.buf[at])), 1)
	}
}

// lay makes size bytes at at a piece of the memory that is shared with the host.
func (l *linear) lay(at, size uint32, off int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at%slotAlign != 0 || size == 0 || size%slotAlign != 0 || off < 0 || off%slotAlign != 0 || uint64(at)+uint64(size) > uint64(len(l.buf)) {
		return errNoSlot
	}
	return mapFixed(l.buf[at:at+size], l.file, off)
}

// reclaim makes size bytes at at memory of the module's own, which is empty.
func (l *linear) reclaim(at, size uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uint64(at)+uint64(size) > uint64(len(l.buf)) {
		return // freed
	}
	if err := mapFixed(l.buf[at:at+size], -1, 0); err != nil {
		panic(fmt.Errorf("mapping memory: %w", err))
	}
}
