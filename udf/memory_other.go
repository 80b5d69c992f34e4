//go:build !linux

package udf

import (
	"errors"
	"os"
)

func memfd(string) (*os.File, error)                 { return nil, errors.ErrUnsupported }
func mapShared(*os.File, int64, int) ([]byte, error) { return nil, errors.ErrUnsupported }
func unmapShared([]byte)                             {}
func punchHole(*os.File, int64, int)                 {}
