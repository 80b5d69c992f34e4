//go:build !linux

package udf

import (
	"os"
	"syscall"
)

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
func killGroup(p *os.Process) error   { return syscall.Kill(-p.Pid, syscall.SIGKILL) }
func privateMemory(int) (int64, bool) { return 0, false }
func machineMemory() int64            { return 4 << 30 }
