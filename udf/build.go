package udf

import "context"

// BuildOptions are the choices of Build; the zero value builds for this machine
// into the system's temporary directory.
type BuildOptions struct {
	Name      string   // default: what the source declares by udf.Name, else the directory's name
	Version   string   // default: what the source declares by udf.Version
	Output    string   // file to write; default: NAME-DIGEST.vudf in the temporary directory
	Platforms []string // os/arch; default linux/amd64 or this machine's linux platform
	GoTool    string   // default: "go" on the PATH
	TempDir   string
}

// Build compiles the Go package in dir, a main package over udf/sdk, into an
// artifact. The same source, SDK and Go toolchain give the same digest from any
// directory. Without a Go toolchain it fails with 58000, for source that does
// not compile with 42P13 and the compiler's output as detail.
func Build(ctx context.Context, dir string, o BuildOptions) (*Artifact, error) {
	return nil, nil
}
