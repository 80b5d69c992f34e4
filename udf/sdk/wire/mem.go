package wire

// Mem is a column as it lies in memory: in a slot, see Col.In, or in the buffers of
// a program that calls functions without a hop.
type Mem struct {
	Kind  Kind
	Rows  int
	Valid []byte // bitmap, LSB first; nil = no NULL
	Data  []byte // values, or Rows+1 offsets
	Bytes []byte // of Bytes columns
	Kids  []Mem  // of a List one, of a Struct its fields
	// Stays says that nobody writes to the buffers any more: what is read may point
	// into them.
	Stays bool
}

// In returns the column that c locates in a slot. Check must have passed where the
// other side wrote c.
func (c *Col) In(mem []byte, rows int) Mem {
	m := Mem{Kind: c.Kind, Rows: rows}
	if c.HasValid {
		m.Valid = mem[c.Valid : int(c.Valid)+(rows+7)/8]
	}
	kids := rows
	switch w := c.Kind.Width(); {
	case w > 0:
		m.Data = mem[c.Data : int(c.Data)+w*rows]
	case c.Kind == Bytes:
		m.Data = mem[c.Data : int(c.Data)+4*(rows+1)]
		m.Bytes = mem[c.Bytes : int(c.Bytes)+int(c.BytesLen)]
	case c.Kind == List:
		m.Data = mem[c.Data : int(c.Data)+4*(rows+1)]
		kids = int(c.BytesLen)
	}
	if len(c.Kids) > 0 {
		m.Kids = make([]Mem, len(c.Kids))
		for i := range c.Kids {
			m.Kids[i] = c.Kids[i].In(mem, kids)
		}
	}
	return m
}
