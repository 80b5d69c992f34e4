package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/volleydb/volley/coordinator"
	"github.com/volleydb/volley/worker"
)

const envPrefix = "VOLLEY_"

// The places a value can come from, as pg_settings names them.
const (
	fromFlag = "command line"
	fromEnv  = "environment variable"
	fromFile = "configuration file"
)

// envName is the environment variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// resolveFlags fills the flags that the command line left open from the
// environment and from the configuration file.
func resolveFlags(cmd *cobra.Command) error {
	flags := cmd.Flags()
	known := knownFlags(cmd.Root())
	file, err := readConfigFile(flags, known)
	if err != nil {
		return err
	}
	var bad error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || bad != nil || f.Name == "config" || f.Name == "set" || f.Name == "help" || f.Name == "version" {
			return
		}
		v, ok := os.LookupEnv(envName(f.Name))
		from := envName(f.Name)
		if !ok {
			var raw any
			if raw, ok = file[f.Name]; ok {
				v, from = fmt.Sprint(raw), f.Name+" in the configuration file"
			}
		}
		if ok {
			if err := flags.Set(f.Name, v); err != nil {
				bad = fmt.Errorf("invalid value %q of %s: %w", v, from, err)
			}
		}
	})
	if bad != nil {
		return bad
	}
	if flags.Lookup("log-level") != nil {
		if _, err := newLog(cmd); err != nil {
			return err
		}
	}
	return checkEnvironment(cmd, known)
}

// knownFlags are the names of all flags of all commands: a configuration file or
// an environment may serve several.
func knownFlags(root *cobra.Command) []string {
	var names []string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		add := func(f *pflag.Flag) {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
		c.LocalFlags().VisitAll(add)
		c.PersistentFlags().VisitAll(add)
		for _, s := range c.Commands() {
			walk(s)
		}
	}
	walk(root)
	slices.Sort(names)
	return names
}

// readConfigFile reads the file of --config. Its top level has flags by name, its
// table "set" session settings, which come back under the key "set".
func readConfigFile(flags *pflag.FlagSet, known []string) (map[string]any, error) {
	path, err := flags.GetString("config")
	if err != nil {
		return nil, nil // a command that takes none
	}
	if path == "" {
		path = os.Getenv(envName("config"))
	}
	if path == "" {
		return nil, nil
	}
	var file map[string]any
	if _, err := toml.DecodeFile(path, &file); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("configuration file %s does not exist", path)
		}
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	for k, v := range file {
		if k == "config" || !slices.Contains(known, k) {
			return nil, fmt.Errorf("configuration file %s: unknown key %q%s", path, k, perhaps(nearest(k, known)))
		}
		switch v.(type) {
		case map[string]any:
			if k != "set" {
				return nil, fmt.Errorf("configuration file %s: %q is not a table", path, k)
			}
		case []any, []map[string]any:
			return nil, fmt.Errorf("configuration file %s: %q takes one value", path, k)
		default:
			if k == "set" {
				return nil, fmt.Errorf("configuration file %s: \"set\" is a table: [set]", path)
			}
		}
	}
	return file, nil
}

// checkEnvironment warns of variables that look like ours and are not. They are
// no error: orchestrators set VOLLEY_PORT and the like for a service so named.
func checkEnvironment(cmd *cobra.Command, known []string) error {
	var names []string
	for _, n := range known {
		names = append(names, envName(n))
	}
	// Not flags: the interpreter of LANGUAGE python, and where machine code is kept.
	names = append(names, "VOLLEY_PYTHON", "VOLLEY_WASM_CACHE")
	for _, kv := range os.Environ() {
		k, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(k, envPrefix) || strings.HasPrefix(k, envName("set")+"_") || slices.Contains(names, k) {
			continue
		}
		if s := nearest(k, names); s != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "volley: unknown environment variable %s ignored%s\n", k, perhaps(s))
		}
	}
	return nil
}

// sessionDefaults are the defaults of session settings from --set name=value,
// VOLLEY_SET_NAME and the file's table [set], and where each came from. The
// coordinator checks them.
func sessionDefaults(cmd *cobra.Command) (values, sources map[string]string, err error) {
	values, sources = map[string]string{}, map[string]string{}
	put := func(name, v, source string) {
		name = strings.ToLower(name)
		values[name], sources[name] = v, source
	}
	file, err := readConfigFile(cmd.Flags(), knownFlags(cmd.Root()))
	if err != nil {
		return nil, nil, err
	}
	if t, ok := file["set"].(map[string]any); ok {
		for k, v := range flatten("", t) {
			put(k, v, fromFile)
		}
	}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		if name, ok := strings.CutPrefix(k, envName("set")+"_"); ok {
			// A variable's name has no dot: VOLLEY_SET_VOLLEY_SEED is volley.seed.
			name = strings.ToLower(name)
			if rest, ok := strings.CutPrefix(name, "volley_"); ok {
				name = "volley." + rest
			}
			put(name, v, fromEnv)
		}
	}
	list, err := cmd.Flags().GetStringArray("set")
	if err != nil {
		return nil, nil, err
	}
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || strings.TrimSpace(k) == "" {
			return nil, nil, fmt.Errorf("--set takes name=value, not %q", kv)
		}
		put(strings.TrimSpace(k), v, fromFlag)
	}
	return values, sources, nil
}

// flatten turns TOML's nested tables into dotted names: volley.seed = 1 is a
// table there.
func flatten(prefix string, t map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range t {
		switch v := v.(type) {
		case map[string]any:
			for k2, v2 := range flatten(prefix+k+".", v) {
				out[k2] = v2
			}
		case bool:
			out[prefix+k] = map[bool]string{true: "on", false: "off"}[v]
		default:
			out[prefix+k] = fmt.Sprint(v)
		}
	}
	return out
}

func addSetFlag(f *pflag.FlagSet) {
	f.StringArray("set", nil, "default of a session setting, `name=value`; repeatable")
}

// newLog makes the log from --log-level and --log-format.
func newLog(cmd *cobra.Command) (*slog.Logger, error) {
	level, _ := cmd.Flags().GetString("log-level")
	format, _ := cmd.Flags().GetString("log-format")
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level is debug, info, warn or error, not %q", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), o)), nil
	}
	return nil, fmt.Errorf("--log-format is text or json, not %q", format)
}

// dataHome is where data directories are by default.
func dataHome() (string, error) {
	if d := os.Getenv("XDG_DATA_HOME"); d != "" && filepath.IsAbs(d) {
		return filepath.Join(d, "volley"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data directory: %w; name one with --data", err)
	}
	return filepath.Join(home, ".local", "share", "volley"), nil
}

// dataDir is the value of --data, or its default.
func dataDir(cmd *cobra.Command) (string, error) {
	d, err := cmd.Flags().GetString("data")
	if err != nil || d != "" {
		return d, err
	}
	return dataHome()
}

func addDataFlag(f *pflag.FlagSet) {
	f.String("data", "", "data `directory` (default: volley in the user's data home)")
}

// limitMemory sets the collector to the memory that the cgroup or the machine
// has, unless GOMEMLIMIT or GOGC say otherwise, and returns the bytes for tasks.
// Batches are large and live briefly: a collector that runs seldom, under a
// limit, costs half of what the default does.
func limitMemory() int64 { return useMemory(0) }

// memoryFlag is --memory: what this process may use, 0 when it was not given.
func memoryFlag(f *pflag.FlagSet) (int64, error) {
	v, _ := f.GetString("memory")
	if v == "" {
		return 0, nil
	}
	n, err := coordinator.ParseBytes(v)
	if err == nil && n < 64<<20 {
		err = errors.New("at least 64MB are needed")
	}
	if err != nil {
		return 0, fmt.Errorf("--memory %q: %w; examples: 512MB, 4GB", v, err)
	}
	return n, nil
}

func addMemoryFlag(f *pflag.FlagSet) {
	f.String("memory", "", "`bytes` that this process may use, such as 4GB (default: what the cgroup or the machine has)")
}

// useMemory is limitMemory with a limit of the user's, 0 for none.
func useMemory(limit int64) int64 {
	if limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 7)
		if os.Getenv("GOGC") == "" {
			worker.TuneCollector(limit / 2)
		}
		return limit / 2
	}
	total, err := memlimit.FromCgroup()
	if err != nil || total == 0 || total > math.MaxInt64 {
		if total, err = memlimit.FromSystem(); err != nil || total == 0 {
			return 0 // unknown: the runtime's and the engine's defaults
		}
	} else if sys, err := memlimit.FromSystem(); err == nil {
		total = min(total, sys)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(total / 10 * 7))
	}
	if os.Getenv("GOGC") == "" {
		worker.TuneCollector(int64(total / 2))
	}
	return int64(total / 2)
}

func perhaps(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; perhaps you meant %q", name)
}

// nearest returns the name that is fewest edits away from word, "" if none is near.
func nearest(word string, names []string) string {
	best, dist := "", len(word)/3+2
	for _, n := range names {
		if d := edits(strings.ToLower(word), strings.ToLower(n)); d < dist {
			best, dist = n, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}
