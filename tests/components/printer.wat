;; Prints 1 GiB to its standard output, 4 KiB at a time as the interface wants it.
(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $output (sub resource)))
    (alias outer 1 $error-type (type $outer-error))
    (export "error" (type $failure (eq $outer-error)))
    (type $stream-error' (variant (case "last-operation-failed" (own $failure)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $outer-output))
    (export "output-stream" (type $stream (eq $outer-output)))
    (export "get-stdout" (func (result (own $stream))))))
  (alias export $streams "[method]output-stream.blocking-write-and-flush" (func $write))
  (alias export $stdout "get-stdout" (func $get-stdout))
  (core module $memory (memory (export "memory") 1))
  (core instance $m (instantiate $memory))
  (alias core export $m "memory" (core memory $mem))
  (core func $get (canon lower (func $get-stdout)))
  (core func $put (canon lower (func $write) (memory $mem)))
  (core module $main
    (import "m" "memory" (memory 1))
    (import "h" "get" (func $get (result i32)))
    (import "h" "put" (func $put (param i32 i32 i32 i32)))
    (func (export "print") (result i32)
      (local $stream i32) (local $left i32)
      (memory.fill (i32.const 4096) (i32.const 97) (i32.const 4096))
      (local.set $stream (call $get))
      (local.set $left (i32.const 262144))
      (loop $again
        (call $put (local.get $stream) (i32.const 4096) (i32.const 4096) (i32.const 16))
        (if (i32.load8_u (i32.const 16)) (then (unreachable)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (i32.const 1)))
  (core instance $i (instantiate $main
    (with "m" (instance $m))
    (with "h" (instance (export "get" (func $get)) (export "put" (func $put))))))
  (func (export "print-flood") (result u32) (canon lift (core func $i "print"))))
