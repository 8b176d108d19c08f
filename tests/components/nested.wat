;; Functions in instances in an instance: `test` { `simple` { `text` } } is the tool `test_simple_text`.
(component
  (core module $module
    (memory (export "memory") 1)
    (data (i32.const 64) "This is a simple text response for testing.")
    (data (i32.const 128) "This tool intentionally returns an error for testing")
    ;; The string's address and length.
    (data (i32.const 16) "\40\00\00\00\2b\00\00\00")
    ;; The case `error`, the string's address and length.
    (data (i32.const 32) "\01\00\00\00\80\00\00\00\34\00\00\00")
    (func (export "text") (result i32) (i32.const 16))
    (func (export "handling") (result i32) (i32.const 32)))
  (core instance $core (instantiate $module))
  (func $text (result string)
    (canon lift (core func $core "text") (memory (core memory $core "memory"))))
  (func $handling (result (result string (error string)))
    (canon lift (core func $core "handling") (memory (core memory $core "memory"))))
  (instance $simple (export "text" (func $text)))
  (instance $error (export "handling" (func $handling)))
  (instance $test (export "simple" (instance $simple)) (export "error" (instance $error)))
  (export "test" (instance $test)))
