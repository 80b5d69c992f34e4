// Package registry moves artifacts of functions between a store and OCI registries:
// push, pull, and the digest that a reference means.
package registry
