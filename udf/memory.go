package udf

import (
	"math/bits"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// minRegion is the smallest piece of shared memory that is handed out: regions
// are powers of two from here on, so that a freed one fits the next user.
const minRegion = 64 << 10

// keepBytes is how much of a child's memory that no stream uses stays as it is,
// mapped and with its pages: every task opens streams of its own, and to fault
// fresh pages in, on both sides, costs more than to copy a batch. What is above
// goes at once, the rest when the child has been idle for keepTime.
const (
	keepBytes = 64 << 20
	keepTime  = 3 * time.Second
)

// sharedMemory is the memory that a child shares with the host: one sealed
// memfd, handed out in regions. Without a file (no memfd on the platform, or the
// host was told so) regions are plain memory and their content travels over the
// socket. A region keeps its offset and size for ever, so that children may keep
// their mappings too; what is in it is what its last user left.
type sharedMemory struct {
	file *os.File // nil = none

	mu     sync.Mutex
	closed bool
	size   int64
	kept   int              // bytes of mapped regions in free
	free   map[int][]region // by size; mem is nil for those without pages
}

// region is a piece of shared memory, mapped in the host.
type region struct {
	off int64
	mem []byte
}

func newSharedMemory(plain bool) *sharedMemory {
	m := &sharedMemory{free: map[int][]region{}}
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
	r := region{off: m.size}
	if f := m.free[size]; len(f) > 0 {
		r = f[len(f)-1]
		m.free[size] = f[:len(f)-1]
		if r.mem != nil {
			m.kept -= size
			return r, nil
		}
	} else {
		if err := m.file.Truncate(r.off + int64(size)); err != nil {
			return region{}, pgerr.Wrap(err, pgerr.OutOfMemory, "could not enlarge the memory shared with a plugin")
		}
		m.size += int64(size)
	}
	mem, err := mapShared(m.file, r.off, size)
	if err != nil {
		m.free[size] = slices.Insert(m.free[size], 0, r)
		return region{}, pgerr.Wrap(err, pgerr.OutOfMemory, "could not map the memory shared with a plugin")
	}
	r.mem = mem
	return r, nil
}

// release gives a region back; nobody uses it any more.
func (m *sharedMemory) release(r region) {
	if m.file == nil || r.mem == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := len(r.mem)
	if !m.closed && m.kept+size <= keepBytes {
		m.kept += size
		m.free[size] = append(m.free[size], r) // the end is taken first
		return
	}
	m.discard(&r)
	m.free[size] = slices.Insert(m.free[size], 0, r)
}

// discard gives the pages of a region back; mu is held.
func (m *sharedMemory) discard(r *region) {
	size := len(r.mem)
	unmapShared(r.mem)
	r.mem = nil
	if !m.closed {
		punchHole(m.file, r.off, size)
	}
}

// trim gives back the pages of the regions that nobody uses.
func (m *sharedMemory) trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == 0 {
		return
	}
	for _, f := range m.free {
		for i := range f {
			if f[i].mem != nil {
				m.discard(&f[i])
			}
		}
	}
	m.kept = 0
}

func (m *sharedMemory) close() {
	if m.file == nil {
		return
	}
	m.trim()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.file.Close()
}
