package worker

import (
	"runtime/debug"
	"sync"

	"github.com/volleydb/volley/exchange"
	"github.com/volleydb/volley/physical"
	"github.com/volleydb/volley/proto"
)

// accounted is the share of a work_mem that operators and outputs may hold. The
// rest is for what is not counted, batches on their way and buffers of readers,
// and for what the collector has not collected yet.
const accounted = 0.55

// processBytes is what the heap needs besides what is accounted, at the least:
// batches on their way, pages being read, the process's own tables.
const processBytes = 64 << 20

// programBytes is what the program itself has in the resident set: its code and
// its tables, mapped from its file. The collector does not count it, work_mem does.
const programBytes = 64 << 20

// queryMemory has the accounts of queries with tasks on this worker.
type queryMemory struct {
	mu        sync.Mutex
	accounts  map[string]*sharedAccount
	share     int64 // budget of a query that has none of its own
	store     *exchange.Store
	collector int64 // its limit while no work_mem asks for less; 0 leaves it alone
	limit     int64 // its limit now, when collector is set and a work_mem does
}

type sharedAccount struct {
	*physical.Account
	tasks   int
	workMem int64
	builds  *physical.SharedBuilds
}

// outputs are those of a query's tasks, which share its account.
type outputs struct {
	store *exchange.Store
	query string
}

func (o outputs) Resident() int64          { return o.store.Resident(o.query) }
func (o outputs) Shrink(limit int64) error { return o.store.Shrink(o.query, limit) }

func (m *queryMemory) acquire(q *proto.QueryContext) *sharedAccount {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[q.QueryId]
	if a == nil {
		limit := m.share
		if q.WorkMem > 0 {
			limit = int64(float64(q.WorkMem) * accounted)
		}
		a = &sharedAccount{Account: physical.NewAccount("query", limit), workMem: q.WorkMem}
		if m.store != nil && q.WorkMem > 0 {
			a.Share(outputs{m.store, q.QueryId})
			m.store.Limit(q.QueryId, a.Free)
		}
		a.builds = physical.NewSharedBuilds(a.Account)
		m.accounts[q.QueryId] = a
		m.collect()
	}
	a.tasks++
	return a
}

func (m *queryMemory) release(query string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.accounts[query]; a != nil {
		if a.tasks--; a.tasks == 0 {
			a.builds.Close()
			delete(m.accounts, query)
			m.collect()
		}
	}
}

// collect sets the collector's limit to what the queries may use.
func (m *queryMemory) collect() {
	if m.collector == 0 {
		return
	}
	want := int64(0)
	for _, a := range m.accounts {
		if a.workMem <= 0 {
			want = m.collector
			break
		}
		want += a.workMem
	}
	want = collectorLimit(want)
	if len(m.accounts) == 0 || want > m.collector {
		want = m.collector
	}
	if want != m.limit && (m.limit != 0 || want != m.collector) {
		debug.SetMemoryLimit(want)
		m.limit = want
	}
}

// collectorLimit is the collector's limit for queries whose work_mem is workMem
// bytes together. The resident set is to stay within 1.2 of it, of which a tenth
// is left for what the collector lets pass. A small work_mem is not to make the
// collector run all the time: then the limit is above what the queries hold.
func collectorLimit(workMem int64) int64 {
	return max(workMem+workMem/10-programBytes, processBytes+int64(float64(workMem)*accounted))
}
