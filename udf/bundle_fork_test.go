package udf

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Programs that are written while others are started can be started at once: a child
// that has not come to its exec yet must not have them open.
func TestWriteFileWhileStarting(t *testing.T) {
	script, err := exec.LookPath("true")
	if err != nil {
		t.Skip("no program true")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command(script).Run()
				}
			}
		}()
	}
	dir := t.TempDir()
	text := []byte("#!/bin/sh\nexit 0\n")
	for range 150 {
		path := filepath.Join(dir, "program")
		if err := writeFile(path, bytes.NewReader(text), 0o500); err != nil {
			t.Error(err)
			break
		}
		if err := exec.Command(path).Run(); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
}
