package udf

import (
	"math/bits"
	"os"
	"sync"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// minRegion is the smallest piece of shared memory that is handed out: regions
// are powers of two from here on, so that a freed one fits the next user.
const minRegion = 64 << 10

// sharedMemory is the memory that a child shares with the host: one sealed
// memfd, handed out in regions. Without a file (no memfd on the platform, or the
// host was told so) regions are plain memory and their content travels over the
// socket.
type sharedMemory struct {
	file *os.File // nil = none

	mu   sync.Mutex
	size int64
	free map[int][]int64 // offsets by size
}

// region is a piece of shared memory, mapped in the host.
type region struct {
	off int64
	mem []byte
}

func newSharedMemory(plain bool) *sharedMemory {
	m := &sharedMemory{free: map[int][]int64{}}
	if !plain {
		// Failing is not an error: then there is no shared memory.
		m.file, _ = memfd("volley-udf")
	}
	return m
}

// alloc returns a region of at least n bytes.
func (m *sharedMemory) alloc(n int) (region, error) {
	if n > wire.MaxSlot {
		return region{}, pgerr.New(pgerr.ProgramLimitExceeded, "a batch of %d bytes for a function is larger than the limit of %d bytes", n, wire.MaxSlot)
	}
	size := minRegion
	if n > size {
		size = 1 << bits.Len(uint(n-1))
	}
	if m.file == nil {
		return region{mem: make([]byte, size)}, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var off int64
	if f := m.free[size]; len(f) > 0 {
		off = f[len(f)-1]
		m.free[size] = f[:len(f)-1]
	} else {
		off = m.size
		if err := m.file.Truncate(off + int64(size)); err != nil {
			return region{}, pgerr.Wrap(err, pgerr.OutOfMemory, "could not enlarge the memory shared with a plugin")
		}
		m.size += int64(size)
	}
	mem, err := mapShared(m.file, off, size)
	if err != nil {
		m.free[size] = append(m.free[size], off)
		return region{}, pgerr.Wrap(err, pgerr.OutOfMemory, "could not map the memory shared with a plugin")
	}
	return region{off, mem}, nil
}

// release gives a region back; nobody uses it any more.
func (m *sharedMemory) release(r region) {
	if m.file == nil || r.mem == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := len(r.mem)
	unmapShared(r.mem)
	punchHole(m.file, r.off, size)
	m.free[size] = append(m.free[size], r.off)
}

func (m *sharedMemory) close() {
	if m.file != nil {
		m.file.Close()
	}
}
