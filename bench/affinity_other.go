//go:build !linux

package main

import (
	"fmt"
	"os"
	"os/exec"
)

// startPinned starts a program whose Go code, and that of its children, runs on
// n threads: where a process has no CPU affinity that is the nearest thing.
func startPinned(cmd *exec.Cmd, n int) error {
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", n))
	return cmd.Start()
}
