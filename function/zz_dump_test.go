package function

import (
	"fmt"
	"os"
	"testing"
)

func TestDump(t *testing.T) {
	w, _ := os.Create("/tmp/fpg/mine.txt")
	defer w.Close()
	for _, f := range All() {
		k := "F"
		if f.Op != "" {
			k = "O"
		}
		n := f.Name
		if f.Op != "" {
			n = f.Op
		}
		fmt.Fprintf(w, "%s\t%s(%s)\n", k, n, argList(f.Args, f.Variadic))
		if k == "O" && f.Name != f.Op {
			fmt.Fprintf(w, "F\t%s(%s)\n", f.Name, argList(f.Args, f.Variadic))
		}
	}
}
