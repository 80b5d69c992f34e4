;; A module without a compiler: what docs/udf/wasm.md says that any language has to
;; export. tiny.wasm is made by the test of package wasmhost.
(module
  (memory (export "memory") 1)
  ;; 1024: the manifest, and behind it the text of volley_error
  (func (export "volley_abi") (result i32) (i32.const 1))
  (func (export "volley_manifest") (result i64)
    (i64.const (; 1024 << 32 | length ;) 0))
  (func (export "volley_alloc") (param $n i32) (result i32) (local $page i32)
    (if (result i32)
      (i32.eq (local.tee $page (memory.grow (i32.shr_u (i32.add (local.get $n) (i32.const 65535)) (i32.const 16)))) (i32.const -1))
      (then (i32.const 0))
      (else (i32.shl (local.get $page) (i32.const 16)))))
  (func (export "volley_free") (param i32 i32))
  (func (export "volley_call") (param $fn i32) (param $ptr i32) (param $len i32) (result i64) (local $p i32) (local $end i32)
    (if (i32.eq (local.get $fn) (i32.const 2)) (then unreachable))
    (if (i32.eq (local.get $fn) (i32.const 3)) (then (return (i64.const 0))))
    (if (i32.eq (local.get $fn) (i32.const 4)) (then (return (i64.const 0x4000000000000060))))
    (if (i32.eq (local.get $fn) (i32.const 5)) (then (loop (br 0))))
    (if (i32.eq (local.get $fn) (i32.const 0)) (then
      (local.set $p (i32.load offset=40 (local.get $ptr)))
      (local.set $end (i32.add (local.get $p) (i32.shl (i32.load (local.get $ptr)) (i32.const 3))))
      (block (loop
        (br_if 1 (i32.ge_u (local.get $p) (local.get $end)))
        (f64.store (local.get $p)
          (f64.add (f64.mul (f64.load (local.get $p)) (f64.const 2)) (f64.const 1)))
        (local.set $p (i32.add (local.get $p) (i32.const 8)))
        (br 0)))))
    ;; the batch with its columns is the result
    (i64.or (i64.shl (i64.extend_i32_u (local.get $ptr)) (i64.const 32)) (i64.extend_i32_u (local.get $len))))
  (func (export "volley_error") (result i64)
    (i64.const (; address << 32 | length ;) 0)))
