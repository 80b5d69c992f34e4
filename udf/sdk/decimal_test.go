package udf

import (
	"math/big"
	"testing"
)

func TestDecimal(t *testing.T) {
	d := func(s string) Decimal {
		v, err := ParseDecimal(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	max := "99999999999999999999999999999999999999"
	for _, c := range []struct{ got, want string }{
		{d("1.50").String(), "1.50"}, {d("-0.001").String(), "-0.001"}, {d("1e3").String(), "1000"}, {d("12e-2").String(), "0.12"}, {d(" +7 ").String(), "7"},
		{d("nan").String(), "NaN"}, {d(max).String(), max}, {d("-" + max).Neg().String(), max},
		{d("0.1").Add(d("0.20")).String(), "0.30"}, {d("-9223372036854775808").Sub(d("1")).String(), "-9223372036854775809"},
		{d(max).Sub(d(max)).String(), "0"}, {d("-1.5").Mul(d("1.50")).String(), "-2.250"}, {d("2.345").Round(2).String(), "2.35"}, {d("-2.345").Round(2).String(), "-2.35"},
		{d(max).Add(d("0.4")).String(), max}, {d("1").Add(NaN()).String(), "NaN"}, {NewDecimal(-5, 1).String(), "-0.5"},
		{DecimalFromBig(new(big.Int).Lsh(big.NewInt(1), 100), 10).String(), "126765060022822940149.6703205376"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if d("1.5").Cmp(d("1.50")) != 0 || d("-1").Cmp(d("1e30")) != -1 || NaN().Cmp(d(max)) != 1 || d("-0.1").Sign() != -1 {
		t.Error("Cmp")
	}
	if v, ok := d("12.00").Int64(); v != 12 || !ok {
		t.Error(v, ok)
	}
	if _, ok := d("12.01").Int64(); ok {
		t.Error("12.01 is no integer")
	}
	for _, s := range []string{"", "x", "1.2.3", "--1", max + "0", "1e39"} {
		if v, err := ParseDecimal(s); err == nil {
			t.Errorf("%q is %s", s, v)
		}
	}
	if snake("UserID") != "user_id" || snake("A") != "a" || snake("HTTPCode2") != "http_code2" {
		t.Error(snake("UserID"), snake("HTTPCode2"))
	}
}
