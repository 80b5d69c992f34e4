package coordinator

import (
	"strconv"
	"strings"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
)

// maxConcurrency bounds volley.concurrency.
const maxConcurrency = 1024

// checkUDFSetting checks the settings of a function that are kept as they are
// written: volley.on_error and volley.concurrency. known is false for others.
func checkUDFSetting(name, val string) (known bool, err error) {
	switch name {
	case "volley.on_error":
		switch val {
		case "fail", "null", "skip":
			return true, nil
		}
		return true, pgerr.New(pgerr.InvalidParameterValue, "invalid value for %s: %q", name, val).
			WithHint("Available values: fail, null, skip.")
	case "volley.concurrency":
		if n, err := strconv.Atoi(strings.TrimSpace(val)); err != nil || n < 1 || n > maxConcurrency {
			return true, pgerr.New(pgerr.InvalidParameterValue, "invalid value for %s: %q", name, val).
				WithHint("It is the number of calls at once on a worker, from 1 to %d.", maxConcurrency)
		}
		return true, nil
	}
	return checkGroupSetting(name, val)
}

// concurrencyOf is the limit that a function sets; 0 = none.
func concurrencyOf(d *catalog.FunctionDef) int {
	n, err := strconv.Atoi(strings.TrimSpace(d.Settings["volley.concurrency"]))
	if err != nil {
		return 0
	}
	return n
}

// settingsOfKind refuses settings that functions of a kind do not have.
func settingsOfKind(kind function.Kind, settings map[string]string) error {
	if settings["volley.on_error"] == "skip" {
		switch kind {
		case function.Aggregate:
			return pgerr.New(pgerr.FeatureNotSupported, "volley.on_error = skip is not supported for aggregates").
				WithHint("With null the result of a group is NULL.")
		case function.Window:
			return pgerr.New(pgerr.FeatureNotSupported, "volley.on_error = skip is not supported for window functions").
				WithHint("With null the values of a partition are NULL.")
		}
	}
	if settings["volley.concurrency"] != "" && kind != function.Scalar {
		return pgerr.New(pgerr.FeatureNotSupported, "volley.concurrency is supported for scalar functions only")
	}
	return nil
}
