//go:build !linux

package wasmhost

const mapNoReserve = 0
