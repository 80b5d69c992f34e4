// Package wasmhost is the child process of artifacts whose runtime is wasm: it
// loads the module with wazero and speaks docs/udf/protocol.md for it.
//
// A program that links this package becomes such a child when package udf starts
// it again with EnvRuntime set: init then serves and never returns.
//
// An instance of the module serves one stream at a time and is kept for the next;
// streams run in parallel, each in its own instance with its own memory. There
// are two kinds of modules. Those built from the Go SDK speak the protocol's
// frames themselves, through three imports (instance.go); any other language
// exports a handful of functions (plain.go). docs/udf/wasm.md describes both.
package wasmhost
