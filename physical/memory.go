package physical

import (
	"fmt"
	"sync/atomic"

	"github.com/volleydb/volley/pgerr"
)

// Account counts the bytes that a query, task or operator holds, in a tree: what
// a child holds its parents hold too. Safe for concurrent use; a nil Account
// counts nothing and refuses nothing.
type Account struct {
	parent *Account
	name   string
	limit  int64 // Grow refuses beyond it; 0 = none
	hard   int64 // Must refuses beyond it; 0 = none
	used   atomic.Int64
	max    atomic.Int64
	peak   *OperatorStats // told about the peak; may be nil
	beside Beside         // shares the limit of a root; may be nil
	spare  func() bool    // frees what a root's query can do without; may be nil
}

// Beside is what shares a query's budget with its operators and gives way to
// them: the outputs of its tasks, which go to disk.
type Beside interface {
	Resident() int64          // bytes held now
	Shrink(limit int64) error // makes it hold at most limit bytes
}

// Share makes the limit of a root hold for its operators and b together.
func (a *Account) Share(b Beside) { a.beside = b }

// Free is what the operators leave of the limit.
func (a *Account) Free() int64 { return a.limit - a.used.Load() }

// hardSlack is what the spilling operators of a query may hold together beyond
// the budget while they work through what they spilled: a few batches each.
const hardSlack = 64 << 20

// NewAccount makes the root of a tree: a query's share of this worker, of
// limit bytes (0 = no limit).
func NewAccount(name string, limit int64) *Account {
	a := &Account{name: name, limit: limit}
	if limit > 0 {
		a.hard = 2*limit + hardSlack
	}
	return a
}

// Child makes an account whose bytes count in a, too.
func (a *Account) Child(name string) *Account { return &Account{parent: a, name: name} }

// Grow charges n bytes, or refuses with 53200 and charges nothing: then the
// caller spills, or fails with that error.
func (a *Account) Grow(n int64) error { return a.grow(n, false) }

// Must is Grow for the least that a spilling operator needs to go on: it may
// exceed the budget by a fixed slack.
func (a *Account) Must(n int64) error { return a.grow(n, true) }

func (a *Account) grow(n int64, must bool) error {
	if n <= 0 {
		a.Shrink(-n)
		return nil
	}
	for at := a; at != nil; at = at.parent {
		now := at.used.Add(n)
		lim := at.limit
		if must {
			lim = at.hard
		}
		if lim > 0 && now > lim {
			for un := a; ; un = un.parent {
				un.used.Add(-n)
				if un == at {
					break
				}
			}
			if at.spare != nil && at.spare() {
				return a.grow(n, must)
			}
			return a.refuse(at, n, lim)
		}
		if at.beside != nil && now+at.beside.Resident() > at.limit {
			// The accounts keep what was charged: an error of the disk ends the task.
			if err := at.beside.Shrink(max(0, at.limit-now)); err != nil {
				return err
			}
		}
	}
	for at := a; at != nil; at = at.parent {
		now := at.used.Load()
		for {
			m := at.max.Load()
			if now <= m || at.max.CompareAndSwap(m, now) {
				break
			}
		}
		if at.peak != nil {
			at.peak.PeakMemory = at.max.Load()
		}
	}
	return nil
}

func (a *Account) refuse(at *Account, n, lim int64) error {
	return pgerr.New(pgerr.OutOfMemory, "out of memory").
		WithDetail("%s needs %s more; %s holds %s of its %s.", a.name, sizeText(n), at.name, sizeText(at.used.Load()), sizeText(lim)).
		WithHint("Raise work_mem, or lower the amount of data in the statement.")
}

// maxColumnBytes bounds what is concatenated into one column: offsets are 32 bits.
const maxColumnBytes = 1<<31 - 1<<20

// tooLarge is the refusal for rows that fit the budget but not into one column.
func (a *Account) tooLarge() error {
	return pgerr.New(pgerr.OutOfMemory, "out of memory").
		WithDetail("%s would hold more than 2 GB of rows at once.", a.name)
}

// growWithin is Grow for rows beside held bytes of others, which together must
// not exceed limit bytes.
func (a *Account) growWithin(held, n, limit int64) error {
	if held+n > limit {
		return a.tooLarge()
	}
	return a.Grow(n)
}

func sizeText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// Shrink gives n bytes back.
func (a *Account) Shrink(n int64) {
	if n <= 0 {
		return
	}
	for at := a; at != nil; at = at.parent {
		at.used.Add(-n)
	}
}

// Used is the bytes held now.
func (a *Account) Used() int64 {
	if a == nil {
		return 0
	}
	return a.used.Load()
}

// Peak is the most bytes held at once so far.
func (a *Account) Peak() int64 {
	if a == nil {
		return 0
	}
	return a.max.Load()
}

// release gives everything back, at the end of the account's life.
func (a *Account) release() {
	if a != nil {
		a.Shrink(a.used.Load())
	}
}
