package wasmhost

import "syscall"

// mapNoReserve keeps the system from counting address space as memory.
const mapNoReserve = syscall.MAP_NORESERVE
