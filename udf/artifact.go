package udf

import "github.com/volleydb/volley/udf/sdk/wire"

// Artifact is a built plugin.
type Artifact struct {
	Name     string
	Digest   string // "sha256:" and 64 hex digits, of the file at Path
	Path     string // of the artifact file (a tar)
	Manifest *Manifest
}

// Manifest says what is in an artifact. It is manifest.json in the tar.
type Manifest struct {
	ABI       int    `json:"abi"` // protocol version the binaries speak
	Name      string `json:"name"`
	Version   string `json:"version,omitempty"`
	Toolchain string `json:"toolchain"`         // Go version that built it
	Runtime   string `json:"runtime,omitempty"` // see RuntimeGo and its like; "" = go
	// Deterministic modules see the same clock and random numbers in every run; of
	// RuntimeWasm only.
	Deterministic bool               `json:"deterministic,omitempty"`
	Functions     []ManifestFunction `json:"functions"`
	Platforms     []Platform         `json:"platforms"`
	// Golden are calls with known results, by function: CREATE FUNCTION runs them.
	Golden map[string][]GoldenCase `json:"golden,omitempty"`
}

// ManifestFunction is one function as its author registered it: Kind is scalar,
// aggregate or grouped_map, Volatility immutable, stable or volatile.
type ManifestFunction = wire.Function

// ManifestParam is an argument, a result or an output column. Type is the SDK's,
// as wire.ParseType reads it: "float64", "[]string", "struct{a int64, b numeric}".
type ManifestParam = wire.Param

// Platform is one binary of an artifact.
type Platform struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Path   string `json:"path"` // inside the tar, below bin/
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Function finds a function by the name its author gave it: exactly, else
// case-insensitively if that is unique.
func (m *Manifest) Function(symbol string) (*ManifestFunction, bool) {
	var found *ManifestFunction
	for i := range m.Functions {
		f := &m.Functions[i]
		if f.Name == symbol {
			return f, true
		}
		if equalFold(f.Name, symbol) {
			if found != nil {
				return nil, false
			}
			found = f
		}
	}
	return found, found != nil
}
