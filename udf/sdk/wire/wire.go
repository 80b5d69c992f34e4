// Package wire is the protocol between a Volley host and a plugin process: the
// frames on the control socket and the layout of columns in a slot. Both sides
// use this package; authors of functions do not. docs/udf/protocol.md is the text.
package wire

import (
	"encoding/binary"
	"fmt"
)

// ABI is the protocol version. Host and plugin must have the same.
const ABI = 2

// Magic is in the plugin's first frame.
const Magic = "volley-udf"

// EnvCookie is the environment variable by which a plugin knows that a host
// started it; EnvShared says that fd 4 is shared memory.
const (
	EnvCookie = "VOLLEY_UDF"
	EnvShared = "VOLLEY_UDF_SHM"
)

// File descriptors of the plugin process.
const (
	ControlFD = 3
	MemoryFD  = 4
)

// InSlots and OutSlots are the slots of a stream in each direction.
const (
	InSlots  = 2
	OutSlots = 2
)

// MaxSlot bounds a slot, and so a single value that crosses the boundary.
const MaxSlot = 1 << 30

// MaxPayload bounds the payload of a frame.
const MaxPayload = 64 << 20

// Frame types. Host to plugin are below 64, plugin to host from 64.
const (
	Welcome = 1 // json WelcomeMsg
	Open    = 2 // json OpenMsg
	Slot    = 3 // SlotMsg: (re)defines a slot
	Batch   = 4 // BatchMsg in input slot; Flags is the operation
	Credit  = 5 // output slot is free again
	Cancel  = 6 // end the stream now; answered by Closed
	End     = 7 // no more batches
	Where   = 8 // say which calls user code of the stream is in; answered by Calls

	Hello    = 64 // json HelloMsg
	Opened   = 65
	Result   = 66 // BatchMsg in output slot
	Done     = 67 // the batch of Seq is consumed and its slot free; DoneMsg
	Error    = 68 // json ErrorMsg; the stream ignores further batches
	Closed   = 69 // answer to Cancel: the stream is gone
	Grow     = 70 // output slot must have at least u64 bytes; answered by Slot
	Log      = 71 // Flags is the level, payload the text
	Progress = 72 // user code of the stream advances
	Finished = 73 // after End: no more results come
	Calls    = 74 // answer to Where: text, "" if user code is not running
)

// Operations of a Batch frame.
const (
	OpRows  = 0 // scalar: compute; grouped map: more rows; aggregate: step
	OpMerge = 1 // aggregate: fold states
	OpState = 2 // aggregate: send the states of groups [Base, Done)
	OpFinal = 3 // aggregate: send the results of groups [Base, Done)
)

// FlagLast on a Result frame: it also is the Done of its Seq.
const FlagLast = 1

// FlagGoesOn on an Error frame: the group has failed, the stream goes on; see
// OpenMsg.OnError.
const FlagGoesOn = 1

// OnErrorNull is the OnError of streams whose groups may fail.
const OnErrorNull = "null"

// HeaderSize is the bytes of a frame header.
const HeaderSize = 24

// Header starts a frame. Payload bytes follow, then Body bytes of a slot where
// there is no shared memory.
type Header struct {
	Len    uint32 // of the payload
	Type   uint8
	Flags  uint8
	Slot   uint16
	Stream uint32
	Body   uint32
	Seq    uint64
}

// Put writes the header into b[:HeaderSize].
func (h *Header) Put(b []byte) {
	binary.LittleEndian.PutUint32(b, h.Len)
	b[4], b[5] = h.Type, h.Flags
	binary.LittleEndian.PutUint16(b[6:], h.Slot)
	binary.LittleEndian.PutUint32(b[8:], h.Stream)
	binary.LittleEndian.PutUint32(b[12:], h.Body)
	binary.LittleEndian.PutUint64(b[16:], h.Seq)
}

// Get reads the header from b[:HeaderSize].
func (h *Header) Get(b []byte) error {
	h.Len = binary.LittleEndian.Uint32(b)
	h.Type, h.Flags = b[4], b[5]
	h.Slot = binary.LittleEndian.Uint16(b[6:])
	h.Stream = binary.LittleEndian.Uint32(b[8:])
	h.Body = binary.LittleEndian.Uint32(b[12:])
	h.Seq = binary.LittleEndian.Uint64(b[16:])
	if h.Len > MaxPayload || h.Body > MaxSlot {
		return fmt.Errorf("frame of %d and %d bytes", h.Len, h.Body)
	}
	return nil
}

// Kind is the physical form of a column.
type Kind uint8

// The physical forms, little endian. Bool takes a byte per value.
const (
	Bool Kind = iota + 1
	Int16
	Int32
	Int64
	Float32
	Float64
	Bytes    // int32 offsets, one more than rows, and bytes
	Decimal  // 24 bytes: 128-bit two's complement coefficient, u32 scale, u8 NaN, 3 bytes of padding
	Interval // 16 bytes: i32 months, i32 days, i64 microseconds
	Fixed16  // 16 bytes as they are
	List     // int32 offsets, one more than rows, into the one child
	Struct   // children of as many rows
)

// Width is the bytes per value, 0 for Bytes, List and Struct.
func (k Kind) Width() int {
	switch k {
	case Bool:
		return 1
	case Int16:
		return 2
	case Int32, Float32:
		return 4
	case Int64, Float64:
		return 8
	case Interval, Fixed16:
		return 16
	case Decimal:
		return 24
	}
	return 0
}

// MaxDepth bounds the nesting of columns.
const MaxDepth = 16

// Col locates one column in a slot. Offsets are from the start of the slot and
// multiples of 64.
type Col struct {
	Kind     Kind
	HasValid bool
	Valid    uint32 // LSB-first bitmap
	Data     uint32 // values, or offsets
	Bytes    uint32
	BytesLen uint32 // of a List the rows of its child
	Kids     []Col  // of a List one, of a Struct its fields
}

// BatchMsg is the payload of Batch and Result.
type BatchMsg struct {
	Rows uint32
	// Groups int32s at GroupsAt: in a Batch of a grouped map the rows at which
	// groups end; in a Batch of an aggregate the group of each row; in a Result
	// the group of each row relative to Base.
	Groups   uint32
	GroupsAt uint32
	Base     int64
	// Done in a Result is the number of finished groups of a grouped map, and the
	// nanoseconds that a scalar function took for the batch.
	Done int64
	Cols []Col
}

const colSize = 20

// Append writes m after dst.
func (m *BatchMsg) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.Rows)
	dst = binary.LittleEndian.AppendUint32(dst, m.Groups)
	dst = binary.LittleEndian.AppendUint32(dst, m.GroupsAt)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Base))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Done))
	first := len(dst)
	for i := range m.Cols {
		dst = m.Cols[i].append(dst)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32((len(dst)-first)/colSize))
	return dst
}

// append writes c, and behind it its children.
func (c *Col) append(dst []byte) []byte {
	var f byte
	if c.HasValid {
		f = 1
	}
	dst = append(dst, byte(c.Kind), f)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Kids)))
	dst = binary.LittleEndian.AppendUint32(dst, c.Valid)
	dst = binary.LittleEndian.AppendUint32(dst, c.Data)
	dst = binary.LittleEndian.AppendUint32(dst, c.Bytes)
	dst = binary.LittleEndian.AppendUint32(dst, c.BytesLen)
	for i := range c.Kids {
		dst = c.Kids[i].append(dst)
	}
	return dst
}

// Parse reads m from b, reusing m.Cols.
func (m *BatchMsg) Parse(b []byte) error {
	if len(b) < 32 {
		return fmt.Errorf("batch message of %d bytes", len(b))
	}
	m.Rows = binary.LittleEndian.Uint32(b)
	m.Groups = binary.LittleEndian.Uint32(b[4:])
	m.GroupsAt = binary.LittleEndian.Uint32(b[8:])
	n := binary.LittleEndian.Uint32(b[12:])
	m.Base = int64(binary.LittleEndian.Uint64(b[16:]))
	m.Done = int64(binary.LittleEndian.Uint64(b[24:]))
	b = b[32:]
	if uint64(len(b)) != uint64(n)*colSize {
		return fmt.Errorf("batch message of %d columns has %d bytes", n, len(b))
	}
	m.Cols = m.Cols[:0]
	for len(b) > 0 {
		c, rest, err := parseCol(b, 0)
		if err != nil {
			return err
		}
		m.Cols, b = append(m.Cols, c), rest
	}
	return nil
}

// parseCol reads a column and its children and returns what follows.
func parseCol(b []byte, depth int) (c Col, rest []byte, err error) {
	if len(b) < colSize {
		return c, nil, fmt.Errorf("a column without its children")
	}
	if depth > MaxDepth {
		return c, nil, fmt.Errorf("columns nested more than %d deep", MaxDepth)
	}
	c = Col{
		Kind:     Kind(b[0]),
		HasValid: b[1]&1 != 0,
		Valid:    binary.LittleEndian.Uint32(b[4:]),
		Data:     binary.LittleEndian.Uint32(b[8:]),
		Bytes:    binary.LittleEndian.Uint32(b[12:]),
		BytesLen: binary.LittleEndian.Uint32(b[16:]),
	}
	kids := int(binary.LittleEndian.Uint16(b[2:]))
	b = b[colSize:]
	if kids*colSize > len(b) {
		return c, nil, fmt.Errorf("a column of %d children has room for %d", kids, len(b)/colSize)
	}
	if kids > 0 {
		c.Kids = make([]Col, kids)
		for i := range c.Kids {
			if c.Kids[i], b, err = parseCol(b, depth+1); err != nil {
				return c, nil, err
			}
		}
	}
	return c, b, nil
}

// Check verifies that column c of rows rows, with its children, lies within a
// slot of size bytes. It does not look at the values: offsets are the reader's to
// check.
func (c *Col) Check(rows, size int) error {
	in := func(at uint32, n uint64) bool { return at%8 == 0 && uint64(at)+n <= uint64(size) }
	if c.HasValid && !in(c.Valid, uint64(rows+7)/8) {
		return fmt.Errorf("validity bitmap outside of the slot")
	}
	kids, kidRows := 0, rows
	switch {
	case c.Kind == Bytes:
		if !in(c.Data, 4*uint64(rows+1)) || !in(c.Bytes, uint64(c.BytesLen)) {
			return fmt.Errorf("variable-width column outside of the slot")
		}
	case c.Kind == List:
		if !in(c.Data, 4*uint64(rows+1)) || uint64(c.BytesLen) > uint64(size) {
			return fmt.Errorf("list column outside of the slot")
		}
		kids, kidRows = 1, int(c.BytesLen)
	case c.Kind == Struct:
		if kids = len(c.Kids); kids == 0 {
			return fmt.Errorf("a struct column without fields")
		}
	case c.Kind.Width() == 0:
		return fmt.Errorf("unknown column kind %d", c.Kind)
	case !in(c.Data, uint64(rows)*uint64(c.Kind.Width())):
		return fmt.Errorf("column outside of the slot")
	}
	if len(c.Kids) != kids {
		return fmt.Errorf("a column of kind %d with %d children", c.Kind, len(c.Kids))
	}
	for i := range c.Kids {
		if err := c.Kids[i].Check(kidRows, size); err != nil {
			return err
		}
	}
	return nil
}

// Align rounds up to the alignment of buffers in a slot.
func Align(n int) int { return (n + 63) &^ 63 }

// SlotMsg is the payload of Slot: where slot Header.Slot of a direction lies.
type SlotMsg struct {
	Out  bool
	Off  uint64 // in the shared memory; a multiple of the page size
	Size uint64
}

// Append writes m after dst.
func (m *SlotMsg) Append(dst []byte) []byte {
	var o uint64
	if m.Out {
		o = 1
	}
	dst = binary.LittleEndian.AppendUint64(dst, o)
	dst = binary.LittleEndian.AppendUint64(dst, m.Off)
	return binary.LittleEndian.AppendUint64(dst, m.Size)
}

// Parse reads m from b.
func (m *SlotMsg) Parse(b []byte) error {
	if len(b) != 24 {
		return fmt.Errorf("slot message of %d bytes", len(b))
	}
	m.Out = b[0] != 0
	m.Off = binary.LittleEndian.Uint64(b[8:])
	m.Size = binary.LittleEndian.Uint64(b[16:])
	return nil
}

// DoneMsg is the payload of Done.
type DoneMsg struct {
	Done  int64 // grouped map: groups below it are finished
	Bytes int64 // aggregate: size of the states
	Nanos int64 // in user code, for this batch; a message of 16 bytes does not say
}

// Append writes m after dst.
func (m *DoneMsg) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Done))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Bytes))
	return binary.LittleEndian.AppendUint64(dst, uint64(m.Nanos))
}

// Parse reads m from b.
func (m *DoneMsg) Parse(b []byte) error {
	if len(b) != 16 && len(b) != 24 {
		return fmt.Errorf("done message of %d bytes", len(b))
	}
	m.Done = int64(binary.LittleEndian.Uint64(b))
	m.Bytes = int64(binary.LittleEndian.Uint64(b[8:]))
	m.Nanos = 0
	if len(b) == 24 {
		m.Nanos = int64(binary.LittleEndian.Uint64(b[16:]))
	}
	return nil
}
