package planner

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// RangeBound is a bound of a RANGE frame with an offset: a row is inside when its
// Key is not beyond the Limit of the row that has the frame.
type RangeBound struct{ Key, Limit Expr }

// Bits of WindowDef.frameOptions (parsenodes.h).
const (
	frameNonDefault         = 0x00001
	frameRows               = 0x00004
	frameGroups             = 0x00008
	frameBetween            = 0x00010
	frameStartUnboundedPrec = 0x00020
	frameEndUnboundedPrec   = 0x00040
	frameStartUnboundedFoll = 0x00080
	frameEndUnboundedFoll   = 0x00100
	frameStartCurrent       = 0x00200
	frameEndCurrent         = 0x00400
	frameStartOffsetPrec    = 0x00800
	frameEndOffsetPrec      = 0x01000
	frameStartOffsetFoll    = 0x02000
	frameEndOffsetFoll      = 0x04000
	frameExcludeCurrent     = 0x08000
	frameExcludeGroup       = 0x10000
	frameExcludeTies        = 0x20000
)

func defaultFrame(ordered bool) *proto.Frame {
	return &proto.Frame{Mode: proto.Frame_RANGE,
		Start: &proto.FrameBound{Kind: proto.FrameBound_UNBOUNDED_PRECEDING},
		End:   &proto.FrameBound{Kind: proto.FrameBound_CURRENT_ROW}}
}

// frame binds the frame of a window with the given order. The bounds are those of
// RANGE with an offset, else nil.
func (sc *selectCtx) frame(d *pg.WindowDef, order []SortKey) (*proto.Frame, [2]*RangeBound, error) {
	b := sc.b
	o := d.FrameOptions
	none := [2]*RangeBound{}
	if o&frameNonDefault == 0 {
		return defaultFrame(len(order) > 0), none, nil
	}
	switch {
	case o&frameStartUnboundedFoll != 0:
		return nil, none, pgerr.New(pgerr.WindowingError, "frame start cannot be UNBOUNDED FOLLOWING").At(b.pos(d.Location))
	case o&frameEndUnboundedPrec != 0 && o&frameBetween != 0:
		return nil, none, pgerr.New(pgerr.WindowingError, "frame end cannot be UNBOUNDED PRECEDING").At(b.pos(d.Location))
	}
	f := &proto.Frame{Mode: proto.Frame_RANGE}
	switch {
	case o&frameRows != 0:
		f.Mode = proto.Frame_ROWS
	case o&frameGroups != 0:
		f.Mode = proto.Frame_GROUPS
		if len(order) == 0 {
			return nil, none, pgerr.New(pgerr.WindowingError, "GROUPS mode requires an ORDER BY clause").At(b.pos(d.Location))
		}
	}
	switch {
	case o&frameExcludeCurrent != 0:
		f.Exclude = proto.Frame_EXCLUDE_CURRENT_ROW
	case o&frameExcludeGroup != 0:
		f.Exclude = proto.Frame_EXCLUDE_GROUP
	case o&frameExcludeTies != 0:
		f.Exclude = proto.Frame_EXCLUDE_TIES
	}
	offsets := o & (frameStartOffsetPrec | frameStartOffsetFoll | frameEndOffsetPrec | frameEndOffsetFoll)
	if f.Mode == proto.Frame_RANGE && offsets != 0 && len(order) != 1 {
		return nil, none, pgerr.New(pgerr.WindowingError, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column").At(b.pos(d.Location))
	}
	var bounds [2]*RangeBound
	bound := func(i int, unbPrec, offPrec, offFoll, unbFoll int32, n *pg.Node, what string) (*proto.FrameBound, error) {
		kind := proto.FrameBound_CURRENT_ROW
		switch {
		case o&unbPrec != 0:
			kind = proto.FrameBound_UNBOUNDED_PRECEDING
		case o&unbFoll != 0:
			kind = proto.FrameBound_UNBOUNDED_FOLLOWING
		case o&offPrec != 0:
			kind = proto.FrameBound_PRECEDING
		case o&offFoll != 0:
			kind = proto.FrameBound_FOLLOWING
		}
		out := &proto.FrameBound{Kind: kind}
		if o&(offPrec|offFoll) == 0 {
			return out, nil
		}
		var err error
		if f.Mode == proto.Frame_RANGE {
			bounds[i], err = sc.rangeBound(order[0], n, o&offPrec != 0, what)
			return out, err
		}
		out.Offset, err = sc.frameOffset(n, what)
		return out, err
	}
	var err error
	if f.Start, err = bound(0, frameStartUnboundedPrec, frameStartOffsetPrec, frameStartOffsetFoll, frameStartUnboundedFoll, d.StartOffset, "starting"); err != nil {
		return nil, none, err
	}
	if f.End, err = bound(1, frameEndUnboundedPrec, frameEndOffsetPrec, frameEndOffsetFoll, frameEndUnboundedFoll, d.EndOffset, "ending"); err != nil {
		return nil, none, err
	}
	return f, bounds, nil
}

// frameOffset binds the number of rows or groups of a bound.
func (sc *selectCtx) frameOffset(n *pg.Node, what string) (int64, error) {
	e, err := sc.expr(n)
	if err != nil {
		return 0, err
	}
	c, err := sc.frameConst(e, types.T(types.Int8), n, what)
	if c == nil || err != nil {
		return 0, err
	}
	v := vector.At[int64](c.V, 0)
	if v < 0 {
		return 0, pgerr.New("22013", "frame %s offset must not be negative", what).At(sc.b.pos(nodeLocation(n)))
	}
	return v, nil
}

// frameConst brings an offset to its type; nil while parameters have no values.
func (sc *selectCtx) frameConst(e Expr, t types.Type, n *pg.Node, what string) (*Const, error) {
	b := sc.b
	e, err := b.coerce(e, t, function.Assignment, "frame offset")
	if err != nil {
		return nil, err
	}
	c, ok := e.(*Const)
	switch {
	case !ok && b.infer:
		return nil, nil
	case !ok:
		return nil, b.unsupported(nodeLocation(n), "a frame offset that is not constant")
	case c.V == nil:
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "frame %s offset must not be null", what).At(b.pos(nodeLocation(n)))
	}
	return c, nil
}

// rangeBound binds key ± offset. Integers are widened first, so that the sum
// always fits.
func (sc *selectCtx) rangeBound(k SortKey, n *pg.Node, preceding bool, what string) (*RangeBound, error) {
	b := sc.b
	e, err := sc.expr(n)
	if err != nil {
		return nil, err
	}
	key, off := k.Expr.Type(), e.Type()
	var as, offAs types.Type
	switch key.ID {
	case types.Int2, types.Int4, types.Int8:
		as, offAs = types.T(types.Numeric), types.T(types.Int8)
	case types.Numeric:
		as, offAs = types.T(types.Numeric), types.T(types.Numeric)
	case types.Float4, types.Float8:
		as, offAs = types.T(types.Float8), types.T(types.Float8)
	case types.Date, types.Timestamp:
		as, offAs = types.T(types.Timestamp), types.T(types.Interval)
	case types.Timestamptz:
		as, offAs = key.Bare(), types.T(types.Interval)
	case types.Interval:
		as, offAs = key.Bare(), types.T(types.Interval)
	default:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s", key.Bare()).At(b.pos(nodeLocation(n)))
	}
	if off.ID != types.Unknown && !function.CastAllowed(off, offAs, function.Implicit) {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s and offset type %s", key.Bare(), off.Bare()).
			WithHint("Cast the offset value to an appropriate type.").At(b.pos(nodeLocation(n)))
	}
	if isVolatile(k.Expr) {
		return nil, b.unsupported(nodeLocation(n), "RANGE with an offset over a volatile function")
	}
	c, err := sc.frameConst(e, offAs, n, what)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return &RangeBound{Key: k.Expr, Limit: k.Expr}, nil
	}
	zero, err := b.coerce(textConst("0", types.Unknown, 0), offAs, function.Implicit, "")
	if err != nil {
		return nil, err
	}
	negative, err := b.operator("<", []Expr{c, zero}, -1)
	if err != nil {
		return nil, err
	}
	nan := false
	if offAs.ID == types.Float8 {
		v := vector.At[float64](c.V, 0)
		nan = v != v
	}
	if isTrue(negative) || nan {
		return nil, pgerr.New("22013", "invalid preceding or following size in window function").At(b.pos(nodeLocation(n)))
	}
	r := &RangeBound{}
	if r.Key, err = b.coerce(k.Expr, as, function.Explicit, ""); err != nil {
		return nil, err
	}
	offset := Expr(c)
	if as.ID == types.Numeric {
		if offset, err = b.coerce(c, as, function.Explicit, ""); err != nil {
			return nil, err
		}
	}
	op := "+"
	if preceding != k.Desc {
		op = "-"
	}
	r.Limit, err = b.operator(op, []Expr{r.Key, offset}, nodeLocation(n))
	if err == nil && !r.Limit.Type().Same(as) {
		r.Limit, err = b.coerce(r.Limit, as, function.Explicit, "")
	}
	return r, err
}
