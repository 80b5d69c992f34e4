package types

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// randDecimal draws coefficients of all lengths.
func randDecimal(r *rand.Rand) Decimal {
	m := u128{r.Uint64(), r.Uint64()}
	_, m = m.divMod(pow10[1+r.IntN(maxDigits)])
	return fromMag(m, r.IntN(2) == 0, int32(r.IntN(40)))
}

// Text and wire form give back the very value.
func TestDecimalRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		d := randDecimal(r)
		back, err := ParseNumeric(d.String())
		if err != nil || back != d {
			t.Fatalf("%+v prints as %s, which reads as %+v, %v", d, d, back, err)
		}
		if back, err = ParseNumericBinary(AppendNumericBinary(nil, d)); err != nil || back != d {
			t.Fatalf("%s on the wire came back as %s, %v", d, back, err)
		}
		if n := d.Normalize(); !n.Equal(d) || n.Normalize() != n {
			t.Fatalf("%s normalised is %s", d, n)
		}
	}
}

// Arithmetic agrees with big.Rat wherever the result fits.
func TestDecimalExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rat := func(d Decimal) *big.Rat { return new(big.Rat).SetFrac(d.big(), bigPow10(int(d.Scale))) }
	tenth := new(big.Rat).SetFrac64(1, 2)
	check := func(op string, d, e, got Decimal, err error, want *big.Rat) {
		t.Helper()
		if err != nil {
			if lim := new(big.Rat).SetInt(limit.big()); new(big.Rat).Abs(want).Cmp(lim) >= 0 {
				return
			}
			// Rounding up may reach the limit as well.
			if want.Num().BitLen()-want.Denom().BitLen() > 124 {
				return
			}
			t.Fatalf("%s %s %s: %v", d, op, e, err)
		}
		// Within half of the last place.
		diff := new(big.Rat).Sub(rat(got), want)
		ulp := new(big.Rat).Mul(tenth, new(big.Rat).SetFrac(big.NewInt(1), bigPow10(int(got.Scale))))
		if diff.Abs(diff).Cmp(ulp) > 0 {
			t.Fatalf("%s %s %s = %s, off by %s", d, op, e, got, diff.FloatString(50))
		}
	}
	for range 20000 {
		d, e := randDecimal(r), randDecimal(r)
		got, err := d.Add(e)
		check("+", d, e, got, err, new(big.Rat).Add(rat(d), rat(e)))
		got, err = d.Sub(e)
		check("-", d, e, got, err, new(big.Rat).Sub(rat(d), rat(e)))
		got, err = d.Mul(e)
		check("*", d, e, got, err, new(big.Rat).Mul(rat(d), rat(e)))
		if !e.isZero() {
			got, err = d.Div(e)
			if err != nil || got.Scale >= divScaleFloor(d, e) {
				check("/", d, e, got, err, new(big.Rat).Quo(rat(d), rat(e)))
			}
		}
		if c := rat(d).Cmp(rat(e)); c != d.Cmp(e) || c != -e.Cmp(d) {
			t.Fatalf("%s cmp %s = %d, want %d", d, e, d.Cmp(e), c)
		}
		if f, _ := rat(d).Float64(); f != d.Float64() {
			t.Fatalf("%s as float8 is %v, want %v", d, d.Float64(), f)
		}
	}
}

// divScaleFloor is the scale below which a quotient was rounded a second time.
func divScaleFloor(d, e Decimal) int32 {
	dm, _ := d.mag()
	em, _ := e.mag()
	di, ei := infoOf(dm, int(d.Scale)), infoOf(em, int(e.Scale))
	return int32(divScale(&di, &ei, int(d.Scale), int(e.Scale)))
}

// 128-bit division agrees with big.Int, for divisors of all lengths.
func TestDivMod128(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50000 {
		a := u128{r.Uint64() >> r.IntN(64), r.Uint64()}
		b := u128{r.Uint64() >> r.IntN(64), r.Uint64() | 1}
		if r.IntN(4) == 0 {
			b.hi = 0
		}
		q, m := a.divMod(b)
		wq, wm := new(big.Int).QuoRem(a.big(), b.big(), new(big.Int))
		if q.big().Cmp(wq) != 0 || m.big().Cmp(wm) != 0 {
			t.Fatalf("%v / %v = %v rest %v, want %v rest %v", a, b, q, m, wq, wm)
		}
		if n := len(a.big().Text(10)); n != a.digits() && !a.isZero() {
			t.Fatalf("%v has %d digits, not %d", a.big(), n, a.digits())
		}
	}
}

// A sum is exact whatever the scales, the order and the split into states.
func TestDecimalSumExact(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		var a, b, all DecimalSum
		want := new(big.Rat)
		n := 1 + r.IntN(50)
		for range n {
			d := randDecimal(r)
			if r.IntN(2) == 0 {
				d.Scale = 4
			}
			want.Add(want, new(big.Rat).SetFrac(d.big(), bigPow10(int(d.Scale))))
			all.Add(d)
			if r.IntN(2) == 0 {
				a.Add(d)
			} else {
				b.Add(d)
			}
			x := randDecimal(r)
			all.Add(x)
			all.Remove(x)
		}
		state := b.AppendState([]byte("x"))
		var c DecimalSum
		if rest, err := c.DecodeState(append(state[1:], 'y')); err != nil || string(rest) != "y" {
			t.Fatal(string(rest), err)
		}
		a.Merge(&c)
		for _, s := range []*DecimalSum{&a, &all} {
			got := new(big.Rat).SetFrac(s.big(), bigPow10(int(s.scale)))
			if got.Cmp(want) != 0 || s.Count() != int64(n) {
				t.Fatalf("sum %s of %d, want %s of %d", got.FloatString(40), s.Count(), want.FloatString(40), n)
			}
		}
		if s := a.AppendState(nil); len(s) > 0 {
			for cut := range s {
				if _, err := new(DecimalSum).DecodeState(s[:cut]); pgerr.Code(err) != pgerr.DataCorrupted {
					t.Fatalf("state cut at %d: %v", cut, err)
				}
			}
		}
	}
}

// 192 bits hold what 64 and 128 do not.
func TestDecimalSumWide(t *testing.T) {
	var s DecimalSum
	s.AddInt64s([]int64{math.MaxInt64, math.MaxInt64, math.MaxInt64, -1})
	if d, err := s.Sum(); err != nil || d.String() != "27670116110564327420" {
		t.Errorf("sum %s, %v", d, err)
	}
	if d, err := s.Avg(); err != nil || d.String() != "6917529027641081855" {
		t.Errorf("avg %s, %v", d, err)
	}
	big, _ := ParseNumeric("99999999999999999999999999999999999999")
	s = DecimalSum{}
	s.Add(big)
	s.Add(big)
	if _, err := s.Sum(); pgerr.Code(err) != pgerr.NumericValueOutOfRange {
		t.Errorf("sum of 39 digits: %v", err)
	}
	if d, err := s.Avg(); err != nil || d != big {
		t.Errorf("avg %s, %v", d, err)
	}
}

func TestDatetimeRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	berlin := &TextOptions{Location: mustZone("Europe/Berlin")}
	for range 20000 {
		ts := minTimestamp + int64(r.Uint64N(uint64(endTimestamp)-uint64(0)+uint64(-int64(minTimestamp))-1e15))
		if r.IntN(2) == 0 {
			ts = r.Int64N(4e15) - 1e15
		}
		if back, err := ParseTimestamp(string(AppendTimestamp(nil, ts)), nil); err != nil || back != ts {
			t.Fatalf("%d prints as %s, which reads as %d, %v", ts, AppendTimestamp(nil, ts), back, err)
		}
		s := AppendTimestamptz(nil, ts, berlin.Location)
		if back, err := ParseTimestamptz(s, nil); err != nil || back != ts {
			t.Fatalf("%d prints as %s, which reads as %d, %v", ts, s, back, err)
		}
		d := int32(r.IntN(endDate-minDate) + minDate)
		if back, err := ParseDate(AppendDate(nil, d), nil); err != nil || back != d {
			t.Fatalf("%d prints as %s, which reads as %d, %v", d, AppendDate(nil, d), back, err)
		}
		iv := IntervalValue{Months: int32(r.Uint32()) >> r.IntN(32), Days: int32(r.Uint32()) >> r.IntN(32), Micros: int64(r.Uint64()) >> r.IntN(64)}
		if iv.Micros == math.MinInt64 {
			continue
		}
		if back, err := ParseInterval(AppendInterval(nil, iv)); err != nil || back != iv {
			t.Fatalf("%+v prints as %s, which reads as %+v, %v", iv, AppendInterval(nil, iv), back, err)
		}
		// Go's own calendar agrees.
		if y, m, day := dateOf(int64(d)); int64(d) < 1e6 && int64(d) > -7e5 {
			u := time.Unix(int64(d)*86400, 0).UTC()
			if int64(u.Year()) != y || int(u.Month()) != m || u.Day() != day {
				t.Fatalf("day %d is %d-%d-%d, want %v", d, y, m, day, u)
			}
		}
	}
}

// 'now' and 'today' are the transaction's, in the session's zone.
func TestRelativeTimes(t *testing.T) {
	o := &TextOptions{Location: newYork, Now: time.Date(2024, 2, 1, 3, 30, 0, 500_000, time.UTC)}
	date := func(s, want string) {
		d, err := ParseDate(s, o)
		if got := string(AppendDate(nil, d)); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", s, got, err, want)
		}
	}
	date("now", "2024-01-31")
	date("today", "2024-01-31")
	date("tomorrow", "2024-02-01")
	date("yesterday", "2024-01-30")
	ts, err := ParseTimestamptz("now", o)
	if got := string(AppendTimestamptz(nil, ts, newYork)); err != nil || got != "2024-01-31 22:30:00.0005-05" {
		t.Errorf("now is %s, %v", got, err)
	}
	ts, err = ParseTimestamp("today 10:00", o)
	if got := string(AppendTimestamp(nil, ts)); err != nil || got != "2024-01-31 10:00:00" {
		t.Errorf("today 10:00 is %s, %v", got, err)
	}
	ts, err = ParseTime("now", o)
	if got := string(AppendTime(nil, ts)); err != nil || got != "22:30:00.0005" {
		t.Errorf("now is %s, %v", got, err)
	}
}

func TestZones(t *testing.T) {
	at := time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		session bool
		off     int // seconds east, -1 for an error
	}{
		{"UTC", false, 0}, {"z", false, 0}, {"PST", false, -8 * 3600}, {"Europe/Berlin", false, 7200},
		{"europe/berlin", false, 7200}, {"+3", false, -3 * 3600}, {"3", false, -3 * 3600}, {"UTC-5:30", false, 19800},
		{"FOO+2", false, -7200}, {"", false, -1}, {"nowhere", false, -1}, {"../etc/passwd", false, -1}, {"Local", false, -1},
		{"+3", true, 3 * 3600}, {"-5.5", true, -19800}, {"+05:30", true, 19800}, {"Asia/Tokyo", true, 32400}, {"200", true, -1}, {"nowhere", true, -1},
	} {
		f := ParseZone
		if c.session {
			f = ParseSessionZone
		}
		loc, err := f(c.name)
		if c.off == -1 {
			if pgerr.Code(err) != pgerr.InvalidParameterValue {
				t.Errorf("%q: %v, %v", c.name, loc, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.name, err)
			continue
		}
		if _, off := at.In(loc).Zone(); off != c.off {
			t.Errorf("%q is %d east, want %d", c.name, off, c.off)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		in       string
		n        int
		explicit bool
		varchar  string
		bpchar   string
		code     string
	}{
		{"abc", 3, false, "abc", "abc", ""},
		{"ab", 3, false, "ab", "ab ", ""},
		{"abcd", 3, false, "", "", pgerr.StringDataRightTruncation},
		{"abc  ", 3, false, "abc", "abc", ""},
		{"abcd", 3, true, "abc", "abc", ""},
		{"äöü", 3, false, "äöü", "äöü", ""},
		{"äöüß", 2, true, "äö", "äö", ""},
		{"", 2, false, "", "  ", ""},
	} {
		v, err := FitVarchar([]byte(c.in), c.n, c.explicit)
		if string(v) != c.varchar || pgerr.Code(err) != c.code {
			t.Errorf("varchar(%d) of %q: %q, %v", c.n, c.in, v, err)
		}
		p, err := PadBpchar([]byte("<"), []byte(c.in), c.n, c.explicit)
		if string(p) != "<"+c.bpchar || pgerr.Code(err) != c.code {
			t.Errorf("char(%d) of %q: %q, %v", c.n, c.in, p, err)
		}
	}
	if s := TrimBpchar([]byte("a b  ")); string(s) != "a b" {
		t.Errorf("trimmed %q", s)
	}
	if s := TruncateName([]byte(strings.Repeat("ä", 40))); string(s) != strings.Repeat("ä", 31) {
		t.Errorf("name of %d bytes", len(s))
	}
	for s, want := range map[string]string{"ok": "", "a\x00": "0x00", "a\xff": "0xff", "\xc3(": "0xc3 0x28", "\xe2\x82": "0xe2 0x82"} {
		err := CheckUTF8([]byte(s))
		if want == "" && err != nil || want != "" && (pgerr.Code(err) != pgerr.CharacterNotInRepertoire || !strings.HasSuffix(err.Error(), ": "+want)) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRoundNumeric(t *testing.T) {
	for _, c := range []struct {
		in   string
		p, s int
		want string
	}{
		{"1.005", 5, 2, "1.01"}, {"-1.005", 5, 2, "-1.01"}, {"1", 5, 2, "1.00"}, {"999.994", 5, 2, "999.99"},
		{"999.995", 5, 2, ""}, {"1000", 5, 2, ""}, {"NaN", 5, 2, "NaN"}, {"0.0049", 2, 2, "0.00"}, {"1", 2, 2, ""},
		{"994", 2, -1, "990"}, {"995", 2, -1, ""}, {"12345", 38, 0, "12345"}, {"0.001234", 3, 5, "0.00123"}, {"0.01", 3, 5, ""},
	} {
		d, _ := ParseNumeric(c.in)
		got, err := RoundNumeric(d, c.p, c.s)
		if c.want == "" {
			if pgerr.Code(err) != pgerr.NumericValueOutOfRange {
				t.Errorf("%s as numeric(%d,%d): %s, %v", c.in, c.p, c.s, got, err)
			}
		} else if err != nil || got.String() != c.want {
			t.Errorf("%s as numeric(%d,%d): %s, %v; want %s", c.in, c.p, c.s, got, err, c.want)
		}
	}
}

func TestRareNumberFormatsAreRefused(t *testing.T) {
	for _, f := range []string{"RN", "9V9", "9.9EEEE"} {
		if _, err := CompileNumFormat(f); pgerr.Code(err) != pgerr.FeatureNotSupported {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestFloatOrder(t *testing.T) {
	vals := []float64{math.Inf(-1), -math.MaxFloat64, -1, -math.SmallestNonzeroFloat64, 0, math.SmallestNonzeroFloat64, 1, math.MaxFloat64, math.Inf(1), math.NaN()}
	for i, a := range vals {
		for j, b := range vals {
			if got, want := CompareFloat(a, b), CompareInt(int64(i), int64(j)); got != want {
				t.Errorf("%v <=> %v = %d", a, b, got)
			}
			if (FloatKey(a) < FloatKey(b)) != (i < j) || EqualFloat(a, b) != (i == j) {
				t.Errorf("keys or equality of %v and %v", a, b)
			}
		}
	}
	if neg := math.Copysign(0, -1); FloatKey(neg) != FloatKey(0) || CompareFloat(neg, 0) != 0 {
		t.Error("-0 differs from 0")
	}
	if FloatKey(math.Float64frombits(0xfff8000000000001)) != FloatKey(math.NaN()) {
		t.Error("two NaNs differ")
	}
}

func FuzzParseNumeric(f *testing.F) {
	for _, s := range []string{"1.5", "-1e5", "NaN", "99999999999999999999999999999999999999.5", "1e-2000", "00.00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseNumeric(s)
		if err != nil {
			return
		}
		if back, err := ParseNumeric(d.String()); err != nil || back != d {
			t.Fatalf("%q is %s, which reads as %s, %v", s, d, back, err)
		}
		if m, _ := d.mag(); !m.less(limit) || d.Scale < 0 || d.Scale > maxScale {
			t.Fatalf("%q is out of range: %+v", s, d)
		}
	})
}

func FuzzParseTimestamp(f *testing.F) {
	for _, s := range []string{"2024-01-31 10:20:30.5+02", "Jan 31 2024 10:20 PM PST", "20240131T102030Z", "epoch", "44-03-15 BC", "J2451187", "24:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ts, err := ParseTimestamptz(s, nyText)
		if err == nil {
			if back, err := ParseTimestamptz(AppendTimestamptz(nil, ts, newYork), nil); (err != nil || back != ts) && ts > minTimestamp+usecPerDay && ts < endTimestamp-usecPerDay {
				t.Fatalf("%q is %s, which reads as %d, %v", s, AppendTimestamptz(nil, ts, newYork), back, err)
			}
		}
		_, _ = ParseDate(s, nil)
		if tm, err := ParseTime(s, nil); err == nil && (tm < 0 || tm > usecPerDay) {
			t.Fatalf("%q is the time %d", s, tm)
		}
	})
}

func FuzzParseInterval(f *testing.F) {
	for _, s := range []string{"1 year 2 mons -3 days 04:05:06.7 ago", "P1Y2M3DT4H5M6.5S", "1-2 3 4:05", "P0001-02-03T04:05:06", "1.5 weeks"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseInterval(s)
		if err != nil || v.Micros == math.MinInt64 {
			return
		}
		if back, err := ParseInterval(AppendInterval(nil, v)); err != nil || back != v {
			t.Fatalf("%q is %s, which reads as %+v, %v", s, AppendInterval(nil, v), back, err)
		}
	})
}

func FuzzParseArray(f *testing.F) {
	for _, s := range []string{`{a,"b c",NULL,"\"",\,}`, "{}", "{{1}}", "[1:2]={1,2}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		read := func(s string) (out []byte, err error) {
			out = append(out, '{')
			err = ParseArray(s, func(e string, null bool) error {
				if len(out) > 1 {
					out = append(out, ',')
				}
				if null {
					out = append(out, "NULL"...)
				} else {
					out = AppendArrayElem(out, e)
				}
				return nil
			})
			return append(out, '}'), err
		}
		first, err := read(s)
		if err != nil {
			return
		}
		if again, err := read(string(first)); err != nil || string(again) != string(first) {
			t.Fatalf("%q is %s, then %s, %v", s, first, again, err)
		}
	})
}

func FuzzFormats(f *testing.F) {
	f.Add("YYYY-MM-DD HH24:MI", "2024-01-31 10:20")
	f.Add("FM9,999.00", "1,234.5")
	f.Fuzz(func(t *testing.T, format, in string) {
		if df, err := CompileDateFormat(format); err == nil {
			_, _ = df.ParseTimestamptz(in, newYork)
			_, _ = df.ParseDate(in)
			_, _ = df.AppendTimestamp(nil, 12345)
			_, _ = df.AppendInterval(nil, IntervalValue{-1, -2, -3})
		}
		if nf, err := CompileNumFormat(format); err == nil {
			_, _ = nf.Parse(in)
			_, _ = nf.AppendNumeric(nil, NewDecimal(-12345, 2))
			_, _ = nf.AppendFloat8(nil, 1e20)
		}
		_, _ = AppendJSONB(nil, []byte(in))
	})
}

func BenchmarkCodec(b *testing.B) {
	var buf [64]byte
	d := NewDecimal(1234567890, 2)
	e := NewDecimal(987654, 2)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	ts, _ := ParseTimestamp("2024-01-31 10:20:30.123456", nil)
	in := map[string][]byte{"int": []byte("1234567890"), "float": []byte("1234.56789"), "numeric": []byte("12345678.90"),
		"timestamp": []byte("2024-01-31 10:20:30.123456"), "date": []byte("2024-01-31"), "interval": []byte("1 day 02:03:04")}
	run("parse/int", func() { _, _ = ParseInt8(in["int"]) })
	run("parse/float", func() { _, _ = ParseFloat8(in["float"]) })
	run("parse/numeric", func() { _, _ = ParseNumeric(in["numeric"]) })
	run("parse/date", func() { _, _ = ParseDate(in["date"], nil) })
	run("parse/timestamp", func() { _, _ = ParseTimestamp(in["timestamp"], nil) })
	run("parse/timestamptz", func() { _, _ = ParseTimestamptz(in["timestamp"], nyText) })
	run("parse/interval", func() { _, _ = ParseInterval(in["interval"]) })
	run("append/int", func() { AppendInt(buf[:0], 1234567890) })
	run("append/float", func() { AppendFloat8(buf[:0], 1234.56789) })
	run("append/numeric", func() { AppendNumeric(buf[:0], d) })
	run("append/timestamp", func() { AppendTimestamp(buf[:0], ts) })
	run("append/timestamptz", func() { AppendTimestamptz(buf[:0], ts, newYork) })
	run("decimal/add", func() { _, _ = d.Add(e) })
	run("decimal/mul", func() { _, _ = d.Mul(e) })
	run("decimal/div", func() { _, _ = d.Div(e) })
	run("decimal/cmp", func() { _ = d.Cmp(e) })
	run("decimal/normalize", func() { _ = d.Normalize() })
	var s DecimalSum
	run("decimal/sum", func() { s.Add(d) })
	run("numeric/binary", func() { AppendNumericBinary(buf[:0], d) })
}

// Values near the ends of the scale give an answer or 22003, at once.
func TestMathExtremes(t *testing.T) {
	tiny := Decimal{Lo: 1, Scale: maxScale}
	huge, _ := ParseNumeric("99999999999999999999999999999999999999")
	for _, c := range []struct {
		name string
		f    func() (Decimal, error)
		want string
	}{
		{"ln(tiny)", tiny.Ln, "-2302.58509299404568"},
		{"sqrt(huge)", huge.Sqrt, "10000000000000000000"},
		{"exp(-huge)", huge.Neg().Exp, ""},
		{"exp(huge)", huge.Exp, "22003"},
		{"huge*huge", func() (Decimal, error) { return huge.Mul(huge) }, "22003"},
		{"huge/tiny", func() (Decimal, error) { return huge.Div(tiny) }, "22003"},
		{"tiny*tiny", func() (Decimal, error) { return tiny.Mul(tiny) }, ""},
		{"tiny/huge", func() (Decimal, error) { return tiny.Div(huge) }, ""},
		{"huge^huge", func() (Decimal, error) { return huge.Pow(huge) }, "22003"},
		{"1.0000001^2147483647", func() (Decimal, error) {
			return NewDecimal(10000001, 7).Pow(NewDecimal(math.MaxInt32, 0))
		}, "22003"},
		{"0.5^2147483647", func() (Decimal, error) { return NewDecimal(5, 1).Pow(NewDecimal(math.MaxInt32, 0)) }, ""},
		{"(-1)^2147483647", func() (Decimal, error) { return NewDecimal(-1, 0).Pow(NewDecimal(math.MaxInt32, 0)) }, "-1.0000000000000000"},
		{"log(tiny, huge)", func() (Decimal, error) { return tiny.LogBase(huge) }, ""},
		{"huge mod tiny", func() (Decimal, error) { return huge.Mod(tiny) }, "22003"},
	} {
		d, err := c.f()
		switch {
		case err != nil:
			if pgerr.Code(err) != c.want {
				t.Errorf("%s: %v", c.name, err)
			}
		case c.want == "" && !d.isZero() && d.Abs().Cmp(NewDecimal(1, 0)) > 0:
			t.Errorf("%s = %s", c.name, d)
		case c.want != "" && !strings.HasPrefix(d.String(), c.want):
			t.Errorf("%s = %s, want %s", c.name, d, c.want)
		}
	}
}
