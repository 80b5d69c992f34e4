package types

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// The files in testdata hold what a Postgres 15 server answered; each line is
// evaluated here by the function of the same name. Volley may differ where a
// line's key stands in deviations, which says how and why.

var newYork = mustZone("America/New_York")

func mustZone(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return l
}

var nyText = &TextOptions{Location: newYork, ExtraFloatDigits: 1}

type evaluator func(a []string) (string, error)

// text makes an evaluator of a reader and a printer.
func text[T any](parse func(string) (T, error), print func([]byte, T) []byte) evaluator {
	return func(a []string) (string, error) {
		v, err := parse(a[0])
		return string(print(nil, v)), err
	}
}

func num1(f func(Decimal) (Decimal, error)) evaluator {
	return func(a []string) (string, error) {
		d, err := ParseNumeric(a[0])
		if err != nil {
			return "", err
		}
		d, err = f(d)
		return d.String(), err
	}
}

func num2(f func(d, e Decimal) (Decimal, error)) evaluator {
	return func(a []string) (string, error) {
		e, err := ParseNumeric(a[1])
		if err != nil {
			return "", err
		}
		return num1(func(d Decimal) (Decimal, error) { return f(d, e) })(a[:1])
	}
}

func numAgg(f func(*DecimalMoments) (Decimal, bool, error)) evaluator {
	return func(a []string) (string, error) {
		// Every other value goes into a second state that travels as bytes.
		var m, o DecimalMoments
		for i, s := range strings.Fields(a[0]) {
			d, err := ParseNumeric(s)
			if err != nil {
				return "", err
			}
			if i%2 == 0 {
				m.Add(d)
			} else {
				o.Add(d)
			}
		}
		var back DecimalMoments
		if rest, err := back.DecodeState(o.AppendState(nil)); err != nil || len(rest) > 0 {
			return "", fmt.Errorf("state: %v, rest %d", err, len(rest))
		}
		m.Merge(&back)
		d, ok, err := f(&m)
		if !ok && err == nil {
			return "NULL", nil
		}
		return d.String(), err
	}
}

func parseTS(s string) (int64, error)   { return ParseTimestamp(s, nyText) }
func parseTZ(s string) (int64, error)   { return ParseTimestamptz(s, nyText) }
func parseD(s string) (int32, error)    { return ParseDate(s, nyText) }
func parseT(s string) (int64, error)    { return ParseTime(s, nyText) }
func printTZ(b []byte, v int64) []byte  { return AppendTimestamptz(b, v, newYork) }
func printInt(b []byte, v int64) []byte { return AppendInt(b, v) }

// op2 makes an evaluator of two readers, a function and a printer.
func op2[A, B, R any](pa func(string) (A, error), pb func(string) (B, error), f func(A, B) (R, error), print func([]byte, R) []byte) evaluator {
	return func(a []string) (string, error) {
		x, err := pa(a[0])
		if err != nil {
			return "", err
		}
		y, err := pb(a[1])
		if err != nil {
			return "", err
		}
		r, err := f(x, y)
		return string(print(nil, r)), err
	}
}

func op1[A, R any](pa func(string) (A, error), f func(A) (R, error), print func([]byte, R) []byte) evaluator {
	return func(a []string) (string, error) {
		x, err := pa(a[0])
		if err != nil {
			return "", err
		}
		r, err := f(x)
		return string(print(nil, r)), err
	}
}

func fieldOp[A any](id ID, pa func(string) (A, error), f func(Field, A) (string, bool, error)) evaluator {
	return func(a []string) (string, error) {
		x, err := pa(a[1])
		if err != nil {
			return "", err
		}
		fd, err := FieldNamed(a[0], T(id))
		if err != nil {
			return "", err
		}
		r, ok, err := f(fd, x)
		if err == nil && !ok {
			return "NULL", nil
		}
		return r, err
	}
}

func fieldDec[A any](id ID, pa func(string) (A, error), f func(Field, A) (Decimal, bool, error)) evaluator {
	return fieldOp(id, pa, func(fd Field, x A) (string, bool, error) {
		d, ok, err := f(fd, x)
		return d.String(), ok, err
	})
}

func fieldFloat[A any](id ID, pa func(string) (A, error), f func(Field, A) (float64, bool, error)) evaluator {
	return fieldOp(id, pa, func(fd Field, x A) (string, bool, error) {
		d, ok, err := f(fd, x)
		return string(AppendFloat8(nil, d)), ok, err
	})
}

func fieldTrunc[A any](id ID, pa func(string) (A, error), f func(Field, A) (A, error), print func([]byte, A) []byte) evaluator {
	return fieldOp(id, pa, func(fd Field, x A) (string, bool, error) {
		v, err := f(fd, x)
		return string(print(nil, v)), true, err
	})
}

func dateFmt[A any](pa func(string) (A, error), f func(*DateFormat, A) ([]byte, error)) evaluator {
	return func(a []string) (string, error) {
		x, err := pa(a[0])
		if err != nil {
			return "", err
		}
		df, err := CompileDateFormat(a[1])
		if err != nil {
			return "", err
		}
		if df.Empty() {
			return "NULL", nil
		}
		b, err := f(df, x)
		return "[" + string(b) + "]", err
	}
}

func numFmt[A any](pa func(string) (A, error), f func(*NumFormat, A) ([]byte, error)) evaluator {
	return func(a []string) (string, error) {
		x, err := pa(a[0])
		if err != nil {
			return "", err
		}
		nf, err := CompileNumFormat(a[1])
		if err != nil {
			return "", err
		}
		b, err := f(nf, x)
		return "[" + string(b) + "]", err
	}
}

func atoi(s string) (int, error) { return strconv.Atoi(s) }

func makeArgs(n int, f func(v []int, sec float64) (string, error)) evaluator {
	return func(a []string) (string, error) {
		v := make([]int, n)
		for i := range v {
			v[i], _ = strconv.Atoi(a[i])
		}
		sec := 0.0
		if len(a) > n {
			sec, _ = strconv.ParseFloat(a[n], 64)
		}
		return f(v, sec)
	}
}

func parseList(parse func(string) error, s string, null func()) error {
	return ParseArray(s, func(e string, isNull bool) error {
		if isNull {
			null()
			return nil
		}
		return parse(strings.Clone(e))
	})
}

func arrayText(check func(string) (string, error)) evaluator {
	return func(a []string) (string, error) {
		out, n := []byte{'{'}, 0
		sep := func() {
			if n > 0 {
				out = append(out, ',')
			}
			n++
		}
		err := parseList(func(e string) error {
			sep()
			t, err := check(e)
			out = AppendArrayElem(out, t)
			return err
		}, a[0], func() { sep(); out = append(out, "NULL"...) })
		return string(out) + "}", err
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

var parseIv = ParseInterval[string]

var evaluators = map[string]evaluator{
	"date_in":        text(parseD, AppendDate),
	"timestamp_in":   text(parseTS, AppendTimestamp),
	"timestamptz_in": text(parseTZ, printTZ),
	"time_in":        text(parseT, AppendTime),
	"interval_in":    text(parseIv, AppendInterval),
	"interval_day": text(func(s string) (IntervalValue, error) {
		return ParseIntervalFields(s, IntervalDay)
	}, AppendInterval),
	"interval_year": text(func(s string) (IntervalValue, error) {
		return ParseIntervalFields(s, IntervalYear)
	}, AppendInterval),
	"interval_hm": text(func(s string) (IntervalValue, error) {
		return ParseIntervalFields(s, IntervalHour|IntervalMinute)
	}, AppendInterval),
	"numeric_in": text(ParseNumeric[string], AppendNumeric),
	"float8_in":  text(ParseFloat8[string], AppendFloat8),
	"bool_in": text(ParseBool[string], func(b []byte, v bool) []byte {
		return strconv.AppendBool(b, v)
	}),
	"int8_in": text(ParseInt8[string], printInt),
	"int4array_in": arrayText(func(s string) (string, error) {
		v, err := ParseInt4(s)
		return strconv.Itoa(int(v)), err
	}),
	"textarray_in": arrayText(func(s string) (string, error) { return s, nil }),
	"jsonb_in": func(a []string) (string, error) {
		b, err := AppendJSONB(nil, []byte(a[0]))
		return string(b), err
	},
	"bytea_in": func(a []string) (string, error) {
		b, err := ParseBytea(nil, a[0])
		return string(AppendBytea(nil, b)), err
	},
	"numeric_send": op1(ParseNumeric[string], func(d Decimal) ([]byte, error) {
		b := AppendNumericBinary(nil, d)
		if back, err := ParseNumericBinary(b); err != nil || back != d {
			return nil, fmt.Errorf("%s came back as %s, %v", d, back, err)
		}
		return b, nil
	}, func(b []byte, v []byte) []byte { return append(b, hexOf(v)...) }),
	"timestamp_send": op1(parseTS, func(v int64) (int64, error) { return TimestampToWire(v), nil },
		func(b []byte, v int64) []byte { return fmt.Appendf(b, "%016x", uint64(v)) }),
	"date_send": op1(parseD, func(v int32) (int32, error) { return DateToWire(v), nil },
		func(b []byte, v int32) []byte { return fmt.Appendf(b, "%08x", uint32(v)) }),
	"interval_send": op1(parseIv, func(v IntervalValue) (IntervalValue, error) { return v, nil },
		func(b []byte, v IntervalValue) []byte {
			return fmt.Appendf(b, "%016x%08x%08x", uint64(v.Micros), uint32(v.Days), uint32(v.Months))
		}),

	"add": num2(Decimal.Add), "sub": num2(Decimal.Sub), "mul": num2(Decimal.Mul), "div": num2(Decimal.Div),
	"mod": num2(Decimal.Mod), "divtrunc": num2(Decimal.DivTrunc), "power": num2(Decimal.Pow), "log": num2(Decimal.LogBase),
	"cmp": num2(func(d, e Decimal) (Decimal, error) {
		c := d.Cmp(e)
		if (c == 0) != (d.Normalize() == e.Normalize()) || c != -e.Cmp(d) {
			return d, fmt.Errorf("Cmp %d, %d and Normalize disagree", c, e.Cmp(d))
		}
		return NewDecimal(int64(c), 0), nil
	}),
	"sqrt": num1(Decimal.Sqrt), "exp": num1(Decimal.Exp), "ln": num1(Decimal.Ln), "log10": num1(Decimal.Log10),
	"ceil": num1(Decimal.Ceil), "floor": num1(Decimal.Floor),
	"round":       op2(ParseNumeric[string], atoi, Decimal.Round, AppendNumeric),
	"trunc":       op2(ParseNumeric[string], atoi, func(d Decimal, n int) (Decimal, error) { return d.Trunc(n), nil }, AppendNumeric),
	"from_float8": op1(ParseFloat8[string], DecimalFromFloat64, AppendNumeric),
	"from_float4": op1(ParseFloat4[string], DecimalFromFloat32, AppendNumeric),
	"to_float8":   op1(ParseNumeric[string], func(d Decimal) (float64, error) { return d.Float64(), nil }, AppendFloat8),
	"to_int8":     op1(ParseNumeric[string], Decimal.Int64, printInt),
	"to_int4": op1(ParseNumeric[string], Decimal.Int32, func(b []byte, v int32) []byte {
		return AppendInt(b, int64(v))
	}),
	"to_int2": op1(ParseNumeric[string], Decimal.Int16, func(b []byte, v int16) []byte {
		return AppendInt(b, int64(v))
	}),
	"sum": numAgg(func(m *DecimalMoments) (Decimal, bool, error) { d, err := m.Sum.Sum(); return d, true, err }),
	"avg": numAgg(func(m *DecimalMoments) (Decimal, bool, error) { d, err := m.Sum.Avg(); return d, true, err }),
	"avg8": func(a []string) (string, error) {
		var s DecimalSum
		var vals []int64
		for _, f := range strings.Fields(a[0]) {
			v, _ := strconv.ParseInt(f, 10, 64)
			vals = append(vals, v)
		}
		s.AddInt64s(vals)
		d, err := s.Avg()
		return d.String(), err
	},
	"var_samp":   numAgg(func(m *DecimalMoments) (Decimal, bool, error) { return m.Variance(true) }),
	"stddev_pop": numAgg(func(m *DecimalMoments) (Decimal, bool, error) { return m.Stddev(false) }),

	"ts_add": op2(parseTS, parseIv, TimestampAdd, AppendTimestamp),
	"tz_add": op2(parseTZ, parseIv, func(v int64, iv IntervalValue) (int64, error) {
		return TimestamptzAdd(v, iv, newYork)
	}, printTZ),
	"ts_sub":   op2(parseTS, parseTS, TimestampSub, AppendInterval),
	"age":      op2(parseTS, parseTS, Age, AppendInterval),
	"date_add": op2(parseD, atoi, func(d int32, n int) (int32, error) { return DateAdd(d, int64(n)) }, AppendDate),
	"date_sub": op2(parseD, parseD, DateSub, func(b []byte, v int32) []byte { return AppendInt(b, int64(v)) }),
	"iv_add":   op2(parseIv, parseIv, IntervalValue.Add, AppendInterval),
	"iv_sub":   op2(parseIv, parseIv, IntervalValue.Sub, AppendInterval),
	"iv_mul":   op2(parseIv, ParseFloat8[string], IntervalValue.Mul, AppendInterval),
	"iv_div":   op2(parseIv, ParseFloat8[string], IntervalValue.Div, AppendInterval),
	"iv_cmp": op2(parseIv, parseIv, func(a, b IntervalValue) (int64, error) { return int64(a.Cmp(b)), nil },
		printInt),
	"justify_hours":    op1(parseIv, IntervalValue.JustifyHours, AppendInterval),
	"justify_days":     op1(parseIv, IntervalValue.JustifyDays, AppendInterval),
	"justify_interval": op1(parseIv, IntervalValue.JustifyInterval, AppendInterval),
	"trunc_ts":         fieldTrunc(Timestamp, parseTS, TruncTimestamp, AppendTimestamp),
	"trunc_tz": fieldTrunc(Timestamptz, parseTZ, func(f Field, v int64) (int64, error) {
		return TruncTimestamptz(f, v, newYork)
	}, printTZ),
	"trunc_iv":   fieldTrunc(Interval, parseIv, TruncInterval, AppendInterval),
	"extract_ts": fieldDec(Timestamp, parseTS, ExtractTimestamp),
	"extract_tz": fieldDec(Timestamptz, parseTZ, func(f Field, v int64) (Decimal, bool, error) {
		return ExtractTimestamptz(f, v, newYork)
	}),
	"extract_date": fieldDec(Date, parseD, ExtractDate),
	"extract_time": fieldDec(Time, parseT, ExtractTime),
	"extract_iv":   fieldDec(Interval, parseIv, ExtractInterval),
	"part_ts":      fieldFloat(Timestamp, parseTS, DatePartTimestamp),
	"part_iv":      fieldFloat(Interval, parseIv, DatePartInterval),
	"make_date": makeArgs(3, func(v []int, _ float64) (string, error) {
		d, err := MakeDate(v[0], v[1], v[2])
		return string(AppendDate(nil, d)), err
	}),
	"make_time": makeArgs(2, func(v []int, s float64) (string, error) {
		d, err := MakeTime(v[0], v[1], s)
		return string(AppendTime(nil, d)), err
	}),
	"make_timestamp": makeArgs(5, func(v []int, s float64) (string, error) {
		d, err := MakeTimestamp(v[0], v[1], v[2], v[3], v[4], s)
		return string(AppendTimestamp(nil, d)), err
	}),
	"date_bin": func(a []string) (string, error) {
		iv, err := parseIv(a[0])
		if err != nil {
			return "", err
		}
		return op2(parseTS, parseTS, func(ts, o int64) (int64, error) { return DateBin(iv, ts, o) }, AppendTimestamp)(a[1:])
	},
	"to_timestamp_f8": op1(ParseFloat8[string], TimestampFromEpoch, printTZ),
	"at_zone":         op2(parseTS, ParseZone, TimestampToTimestamptz, printTZ),
	"at_zone_tz":      op2(parseTZ, ParseZone, TimestamptzToTimestamp, AppendTimestamp),
	"tz_date":         op1(parseTZ, func(v int64) (int32, error) { return TimestamptzToDate(v, newYork) }, AppendDate),
	"round_ts":        op2(parseTS, atoi, func(v int64, p int) (int64, error) { return RoundTimestamp(v, p), nil }, AppendTimestamp),

	"char_ts":  dateFmt(parseTS, func(f *DateFormat, v int64) ([]byte, error) { return f.AppendTimestamp(nil, v) }),
	"char_tz":  dateFmt(parseTZ, func(f *DateFormat, v int64) ([]byte, error) { return f.AppendTimestamptz(nil, v, newYork) }),
	"char_iv":  dateFmt(parseIv, func(f *DateFormat, v IntervalValue) ([]byte, error) { return f.AppendInterval(nil, v) }),
	"char_num": numFmt(ParseNumeric[string], func(f *NumFormat, v Decimal) ([]byte, error) { return f.AppendNumeric(nil, v) }),
	"char_f8":  numFmt(ParseFloat8[string], func(f *NumFormat, v float64) ([]byte, error) { return f.AppendFloat8(nil, v) }),
	"to_date": func(a []string) (string, error) {
		f, err := CompileDateFormat(a[1])
		if err != nil {
			return "", err
		}
		v, err := f.ParseDate(a[0])
		return string(AppendDate(nil, v)), err
	},
	"to_timestamp": func(a []string) (string, error) {
		f, err := CompileDateFormat(a[1])
		if err != nil {
			return "", err
		}
		v, err := f.ParseTimestamptz(a[0], newYork)
		return string(printTZ(nil, v)), err
	},
	"to_number": func(a []string) (string, error) {
		f, err := CompileNumFormat(a[1])
		if err != nil {
			return "", err
		}
		v, err := f.Parse(a[0])
		return v.String(), err
	},
}

// elsewhere are tested by package vector.
var elsewhere = map[string]bool{"int4array_send": true, "textarray_send": true, "int2vector_send": true}

func result(f evaluator, args []string) (got string) {
	defer func() {
		if r := recover(); r != nil {
			got = fmt.Sprint("panic: ", r)
		}
	}()
	got, err := f(args)
	if err != nil {
		e := pgerr.From(err)
		return "!" + e.Code + " " + e.Message
	}
	return got
}

func TestAgainstPostgres(t *testing.T) {
	for _, name := range []string{"input", "numeric", "datetime", "format"} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open("testdata/" + name + ".tsv")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for sc := bufio.NewScanner(f); sc.Scan(); {
				line := sc.Text()
				if strings.HasPrefix(line, "#") {
					continue
				}
				call, want, ok := strings.Cut(line, "\t=")
				fields := strings.Split(call, "\t")
				fn := evaluators[fields[0]]
				if !ok || fn == nil {
					if !elsewhere[fields[0]] {
						t.Errorf("no function for %q", line)
					}
					continue
				}
				got := result(fn, fields[1:])
				if strings.HasPrefix(call, "extract_") && strings.HasSuffix(want, "Infinity") {
					want = "!0A000 numeric infinity is not supported"
				}
				if d, ok := deviations[call]; ok {
					if got != d {
						t.Errorf("%q\n got %s\nwant %s (Postgres: %s)", call, got, d, want)
					} else if got == want {
						t.Errorf("%q no longer deviates", call)
					}
					continue
				}
				if got != want {
					t.Errorf("%q\n got %s\nwant %s", call, got, want)
				}
			}
		})
	}
}

// deviations are the results that differ from Postgres' on purpose: numerics of
// more than 38 digits are rounded behind the point, and refused before it;
// timestamps end in the year 294247.
var deviations = map[string]string{
	"add\t-5222506654066558237886873535833917.898\t45878.898589": "-5222506654066558237886873535788038.9994",
	"add\t75702739532074552427181831554283108.6\t0.779579":       "75702739532074552427181831554283109.380",
	"power\t12345.678\t10":                  "!22003 value overflows numeric format",
	"var_samp\t1e30 1":                      "!22003 value overflows numeric format",
	"var_samp\t99999999999999999999 1.5 -3": "!22003 value overflows numeric format",
	"timestamptz_in\t294247-01-10 04:00:54": "!22008 timestamp out of range: \"294247-01-10 04:00:54\"",
}
