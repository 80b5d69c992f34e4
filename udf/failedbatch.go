package udf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/vector"
)

// FailedCall describes a recorded batch: call.json beside args.arrow, which has
// the arguments of the batch as an Arrow IPC stream.
type FailedCall struct {
	Function string    `json:"function"`
	Version  uint32    `json:"version,omitempty"`
	Digest   string    `json:"digest"`
	Symbol   string    `json:"symbol"`
	Query    string    `json:"query_id,omitempty"`
	Args     []string  `json:"args"` // types
	Rows     int       `json:"rows"`
	Row      int       `json:"row"` // of the batch, from 0, that failed
	Values   string    `json:"values"`
	Code     string    `json:"sqlstate"`
	Message  string    `json:"message"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
	Names    []string  `json:"names,omitempty"` // of the arguments
	// Reference is the plan's reference to the function, as JSON of its message.
	Reference json.RawMessage `json:"reference,omitempty"`

	Dir string `json:"-"` // where it was read from
}

// Bounds of what is recorded: calls that are kept, and bytes of a batch of which
// more than the failing row is.
const (
	maxFailedCalls = 20
	maxFailedBytes = 16 << 20
)

// blockHead is what EncodeBatch puts before the IPC stream: a checksum.
const blockHead = 8

// recordFailed keeps the batch of a call whose row failed the statement, for a
// debugger. What cannot be written is only logged: the statement has its error.
func (h *Host) recordFailed(ref *proto.UDF, query string, names []string, args []*vector.Vector, n, row int, e *pgerr.Error) {
	if h.cfg.RecordDir == "" {
		return
	}
	size := int64(0)
	for _, a := range args {
		size += a.Size()
	}
	if size > maxFailedBytes {
		one := make([]*vector.Vector, len(args))
		for i, a := range args {
			one[i] = vector.Slice(a, row, row+1)
		}
		args, n, row = one, 1, 0
	}
	c := FailedCall{Function: ref.GetDisplay(), Version: ref.GetVersion(), Digest: ref.GetDigest(), Symbol: ref.GetSymbol(), Query: query,
		Rows: n, Row: row, Values: argText(names, args, row), Code: e.Code, Message: e.Message, Detail: e.Detail, At: time.Now().UTC()}
	for _, a := range args {
		c.Args = append(c.Args, a.Type.String())
	}
	c.Names = names
	if b, err := protojson.Marshal(ref); err == nil { // without it the call can be looked at, not replayed
		c.Reference = b
	}
	if err := h.writeFailed(&c, vector.NewBatch(args, n)); err != nil {
		h.log.Warn("a failed call could not be recorded", "function", c.Function, "err", err)
	}
}

func (h *Host) writeFailed(c *FailedCall, b *vector.Batch) error {
	data, err := vector.EncodeBatch(nil, b)
	if err != nil {
		return err
	}
	data = data[blockHead:]
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	h.recordMu.Lock()
	defer h.recordMu.Unlock()
	dir := filepath.Join(h.cfg.RecordDir, fmt.Sprintf("%s-%s", c.At.Format("20060102T150405.000000000"), shortDigest(c.Digest)))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "args.arrow"), data, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "call.json"), append(text, '\n'), 0o600); err != nil {
		return err
	}
	all, err := os.ReadDir(h.cfg.RecordDir)
	if err != nil {
		return err
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name() < all[j].Name() })
	for len(all) > maxFailedCalls {
		if err := os.RemoveAll(filepath.Join(h.cfg.RecordDir, all[0].Name())); err != nil {
			return err
		}
		all = all[1:]
	}
	return nil
}
