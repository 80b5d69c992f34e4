// The program prints what it computes. It has what is hard to get right when the
// flow of a function is written anew: places at which a parked goroutine goes on
// within loops, panics and deferred calls, jumps, and moves of memory of all sizes.
package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sort"
	"strings"
	"sync"
)

//go:noinline
func never(b bool) {
	if b {
		panic("never")
	}
}

// collatz has nested loops with a call in each.
func collatz(n int) (steps, most int) {
	for i := 1; i < n; i++ {
		k := 0
		for x := i; x != 1; k++ {
			never(x < 0)
			if x%2 == 0 {
				x /= 2
				continue
			}
			x = 3*x + 1
			if x > most {
				most = x
			}
		}
		steps += k
		if i%100 == 0 {
			runtime.Gosched()
		}
	}
	return
}

// pipeline parks in loops, in the middle of nested ones too.
func pipeline(n int) (sum int) {
	in, out, quit := make(chan int), make(chan int, 3), make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for x := range in {
				for k := 0; k < 3; k++ {
					select {
					case out <- x*w + k:
					case <-quit:
						return
					}
					if k == 1 {
						runtime.Gosched()
					}
				}
			}
		}()
	}
	go func() {
	outer:
		for i := 0; ; i++ {
			for k := range 4 {
				if i*4+k >= n {
					break outer
				}
				in <- 1
			}
		}
		close(in)
		wg.Wait()
		close(out)
	}()
	count := 0
	for x := range out {
		count++
		sum += x % 3
	}
	return count*1000 + sum*0
}

type failure struct{ n int }

func (f *failure) Error() string { return fmt.Sprint("failure ", f.n) }

// recovers panics in loops, in different ways, and goes on.
func recovers() (out []string) {
	var p *failure
	var m map[string]int
	list := []int{1, 2, 3}
	zero := 0
	for i := range 8 {
		func() {
			defer func() {
				if r := recover(); r != nil {
					out = append(out, fmt.Sprint(i, " ", r))
				}
			}()
			for k := range 10 {
				defer func() { zero = 0 }()
				switch {
				case i == 0 && k == 2:
					_ = p.n
				case i == 1 && k == 3:
					m["x"] = 1
				case i == 2:
					_ = list[k]
				case i == 3 && k == 4:
					_ = k / zero
				case i == 4 && k == 5:
					panic(&failure{k})
				case i == 5:
					_ = list[k%3 : zero+3-k]
				case i == 6 && k == 6:
					var e error = &failure{6}
					var f *failure
					if errors.As(e, &f) {
						panic(fmt.Errorf("wrapped: %w", e))
					}
				}
			}
			out = append(out, fmt.Sprint(i, " fine"))
		}()
	}
	return out
}

// named changes its result after a panic.
func named(n int) (r int, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("%v", x)
			r = -r
		}
	}()
	for i := 0; ; i++ {
		r += i
		if i == n {
			panic(fmt.Sprint("at ", i))
		}
	}
}

func jumps(s string) (words, digits, other int) {
	i := 0
start:
	if i >= len(s) {
		return
	}
	switch c := s[i]; {
	case c >= '0' && c <= '9':
		goto digit
	case c == ' ':
		i++
		goto start
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		for i < len(s) && s[i] != ' ' {
			if s[i] >= '0' && s[i] <= '9' {
				words++
				goto digit
			}
			i++
		}
		words++
		goto start
	default:
		other++
		i++
		goto start
	}
digit:
	digits++
	i++
	goto start
}

func floats() (out []string) {
	vals := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1, -1, 1e300, 5e-324, 0.1}
	for _, a := range vals {
		for _, b := range vals {
			n := 0
			if a < b {
				n |= 1
			}
			if !(a < b) {
				n |= 2
			}
			if a <= b {
				n |= 4
			}
			if a > b || a == b {
				n |= 8
			}
			if a != b {
				n |= 16
			}
			if !(a >= b) {
				n |= 32
			} else {
				n |= 64
			}
			for x := a; x < b && n < 1000; x += 1e299 {
				n += 128
			}
			out = append(out, fmt.Sprint(n))
		}
		out = append(out, fmt.Sprintf("%v %v %v %v", math.Exp(a), math.Log(a), math.Pow(a, 0.5), math.Sin(a)), fmt.Sprint(math.Float64bits(math.Tanh(a))))
	}
	return out
}

func integers() (h uint64) {
	vals := []int64{0, 1, -1, 2, 63, 64, math.MaxInt64, math.MinInt64, 1 << 31, -1 << 31, math.MaxUint32}
	mix := func(v uint64) { h = (h ^ v) * 1099511628211 }
	is := func(b bool) uint64 {
		if b {
			return 1
		}
		return 2
	}
	for _, a := range vals {
		for _, b := range vals {
			mix(is(a < b) | is(a <= b)<<2 | is(a > b)<<4 | is(a >= b)<<6 | is(a == b)<<8 | is(uint64(a) < uint64(b))<<10 | is(uint32(a) <= uint32(b))<<12 | is(int32(a) > int32(b))<<14)
			if !(a < b) {
				mix(3)
			}
			if !(uint64(a) > uint64(b)) {
				mix(5)
			}
			if int32(a) != int32(b) && !(uint32(a) >= uint32(b)) {
				mix(7)
			}
			if b != 0 {
				mix(uint64(a / b))
				mix(uint64(a % b))
			}
			mix(uint64(a << uint(b&127)))
			mix(uint64(a >> uint(b&127)))
			mix(uint64(int8(a)*int8(b)) + uint64(uint16(a)))
		}
	}
	return h
}

// moves copies all small sizes, over each other too.
func moves() (h uint64) {
	var buf [300]byte
	for n := 0; n <= 80; n++ {
		for _, d := range []int{-40, -17, -8, -7, -3, -1, 0, 1, 2, 5, 8, 9, 16, 31, 33, 64} {
			for i := range buf {
				buf[i] = byte(i*7 + n)
			}
			copy(buf[100+d:100+d+n], buf[100:100+n])
			for _, c := range buf {
				h = (h ^ uint64(c)) * 1099511628211
			}
			clear(buf[50 : 50+n])
			for _, c := range buf {
				h = (h ^ uint64(c)) * 1099511628211
			}
		}
	}
	return h
}

type sized[T any] struct {
	before uint32
	v      T
	after  uint16
}

// arrays moves and clears values of a size that the compiler knows.
func arrays[T any](fill func(*T)) string {
	list := make([]sized[T], 4)
	for i := range list {
		list[i].before, list[i].after = 7, 9
		fill(&list[i].v)
	}
	list[1] = list[0]
	list[2].v = list[3].v
	var zero T
	list[3].v = zero
	list[0] = sized[T]{before: 1}
	x := list[1]
	fill(&x.v)
	return fmt.Sprint(list, x)
}

func sizes() (out []string) {
	n := 0
	next := func(b []byte) {
		for i := range b {
			n++
			b[i] = byte(n)
		}
	}
	return append(out,
		arrays(func(a *[1]byte) { next(a[:]) }), arrays(func(a *[2]byte) { next(a[:]) }), arrays(func(a *[3]byte) { next(a[:]) }),
		arrays(func(a *[5]byte) { next(a[:]) }), arrays(func(a *[7]byte) { next(a[:]) }), arrays(func(a *[8]byte) { next(a[:]) }),
		arrays(func(a *[11]byte) { next(a[:]) }), arrays(func(a *[16]byte) { next(a[:]) }), arrays(func(a *[23]byte) { next(a[:]) }),
		arrays(func(a *[33]byte) { next(a[:]) }), arrays(func(a *[61]byte) { next(a[:]) }), arrays(func(a *[64]byte) { next(a[:]) }),
		arrays(func(a *[65]byte) { next(a[:]) }), arrays(func(a *[100]byte) { next(a[:]) }), arrays(func(a *[127]byte) { next(a[:]) }),
		arrays(func(a *[128]byte) { next(a[:]) }), arrays(func(a *[200]byte) { next(a[:]) }))
}

type tree struct {
	l, r *tree
	v    string
}

func grow(depth int) *tree {
	if depth == 0 {
		return nil
	}
	return &tree{grow(depth - 1), grow(depth - 1), fmt.Sprint(depth)}
}

func (t *tree) sum() int {
	if t == nil {
		return 0
	}
	return t.l.sum() + t.r.sum() + len(t.v)
}

// deep grows its stack, with frames of many places to go on at.
func deep(n int, a [20]int) int {
	if n == 0 {
		return a[3]
	}
	a[n%20] = n
	r := 0
	for i := range 2 {
		if i == 1 {
			r += deep(n-1, a)
		}
	}
	return r + a[(n+7)%20]
}

// signs compares what two numbers have in common with 0.
//
//go:noinline
func signs(x, y int64) int {
	if x&y > 0 {
		return 1
	}
	if x&^y < 0 {
		return 2
	}
	return 0
}

func main() {
	fmt.Println(signs(5, 4), signs(5, 2), signs(-1, -8), signs(-1, 7))
	fmt.Println(collatz(2000))
	fmt.Println(pipeline(50))
	fmt.Println(strings.Join(recovers(), "\n"))
	fmt.Println(named(10))
	fmt.Println(jumps("ab1 22 c33 ?! xyz 9"))
	fmt.Println(floats())
	fmt.Println(integers(), moves())
	fmt.Println(strings.Join(sizes(), "\n"))
	kept := []*tree{}
	for i := range 30 {
		t := grow(10)
		if i%10 == 0 {
			kept = append(kept, t)
		}
		if i%15 == 7 {
			runtime.GC()
		}
	}
	for _, t := range kept {
		fmt.Println(t.sum())
	}
	fmt.Println(deep(3000, [20]int{}))
	words := map[string]int{}
	for i := range 3000 {
		words[fmt.Sprint(i*i%701)] += i
	}
	keys := make([]string, 0, len(words))
	for k := range words {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys[:50] {
		fmt.Print(k, "=", words[k], " ")
	}
	fmt.Println()
	var err error = &failure{3}
	fmt.Printf("%v %+v %T %q %x\n", err, err, err, "x\ny", []byte("hello"))
}
