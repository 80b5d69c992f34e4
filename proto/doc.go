// Package proto holds the wire messages between coordinator and workers: the
// physical plan (plan.proto) and control, exchange and artifact transfer
// (control.proto), with the generated code (`make proto`).
package proto
