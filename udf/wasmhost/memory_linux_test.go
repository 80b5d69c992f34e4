package wasmhost

import (
	"bytes"
	"context"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSlotsInMemory lays shared memory over a module's and takes it away again.
func TestSlotsInMemory(t *testing.T) {
	const size = 4 * slotAlign
	fd, err := unix.MemfdCreate("volley-test", 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	shared, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(shared)

	ctx := context.Background()
	e, err := newEngine(ctx, tiny(), config{limit: 1 << 20, procs: 1, slow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	in := e.newInstance(&output{w: &bytes.Buffer{}})
	in.mem.file = fd
	in.region = func(_ *instance, out bool, j int) region {
		switch {
		case out && j == 0:
			return region{2 * slotAlign, shared[2*slotAlign : 3*slotAlign]}
		case !out && j == 1:
			return region{0, shared[:2*slotAlign]}
		}
		return region{}
	}
	err = in.run(func(context.Context) error {
		if _, ok := in.mod.Memory().Grow(7); !ok { // to 8 pages, which are 64 KiB each
			t.Fatal("memory does not grow")
		}
		mem, _ := in.mod.Memory().Read(0, 8*slotAlign)
		arg, res := slotName{false, 1}, slotName{true, 0}
		for what, ok := range map[string]bool{
			"beside a page":        in.lay(arg, slotAlign+8, 2*slotAlign),
			"of another size":      in.lay(arg, slotAlign, slotAlign),
			"over the end":         in.lay(arg, 7*slotAlign, 2*slotAlign),
			"over the last number": in.lay(arg, 1<<32-slotAlign, 2*slotAlign),
			"that there is not":    in.lay(slotName{false, 0}, slotAlign, slotAlign),
			"with a bad number":    in.lay(slotName{true, -1}, slotAlign, slotAlign),
		} {
			if ok {
				t.Errorf("a slot %s was laid", what)
			}
		}
		mem[3*slotAlign] = 3
		if !in.lay(arg, slotAlign, 2*slotAlign) || !in.lay(res, 4*slotAlign, slotAlign) {
			t.Fatal("slots cannot be laid")
		}
		shared[2*slotAlign-1], mem[4*slotAlign] = 7, 9
		if mem[3*slotAlign-1] != 7 || shared[2*slotAlign] != 9 || mem[3*slotAlign] != 3 {
			t.Error("slots are not where they should be")
		}
		// The next place of a slot: the first is the module's own.
		if !in.lay(res, 5*slotAlign, slotAlign) || mem[5*slotAlign] != 9 || mem[4*slotAlign] != 0 {
			t.Error("a slot cannot be laid elsewhere")
		}
		mem[4*slotAlign] = 1
		in.reclaim()
		mem[slotAlign], mem[5*slotAlign] = 1, 1
		if len(in.placed) > 0 || shared[0] != 0 || shared[2*slotAlign] != 9 || mem[3*slotAlign-1] != 0 {
			t.Error("slots stay in a module's memory")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
