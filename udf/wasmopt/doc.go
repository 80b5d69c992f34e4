// Package wasmopt rewrites the WebAssembly modules that Go's compiler makes so that
// they run faster, whatever they compute.
//
// Go's compiler gives a function one loop around all of its code, with a table of
// branches at its head: a jump sets a number and goes back to the head. That serves
// goroutines, which go on in the middle of a function, but makes each step of a
// loop an indirect jump, and hides the loops from the engine that compiles the
// module. Here the jumps become loops, blocks and branches; the table is left for
// the places at which a parked goroutine can go on.
//
// What does not have the form that is expected stays as it is.
package wasmopt
