;; time: func() -> string
;;
;; The host's wall clock as RFC 3339 text in UTC. It imports `wasi:clocks/wall-clock` and nothing else.
(component
  (import "wasi:clocks/wall-clock@0.2.0"
    (instance $clock
      (type $fields (record (field "seconds" u64) (field "nanoseconds" u32)))
      (export "datetime" (type $datetime (eq $fields)))
      (export "now" (func (result $datetime)))))

  ;; The memory stands apart, because lowering `now` needs it before the code that calls `now` exists.
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (core func $now (canon lower (func $clock "now") (memory (core memory $memory "memory"))))

  (core module $code
    (import "host" "memory" (memory 1))
    (import "host" "now" (func $now (param i32)))

    ;; Two digits of $value at $at.
    (func $two (param $at i32) (param $value i32)
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.div_u (local.get $value) (i32.const 10))))
      (i32.store8 offset=1 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10)))))

    (func (export "time") (result i32)
      (local $seconds i64) (local $days i32) (local $second i32)
      (local $era i32) (local $day_of_era i32) (local $year_of_era i32) (local $day_of_year i32)
      (local $shifted_month i32) (local $year i32) (local $month i32) (local $day i32)
      (call $now (i32.const 0))
      (local.set $seconds (i64.load (i32.const 0)))
      (local.set $second (i32.wrap_i64 (i64.rem_u (local.get $seconds) (i64.const 86400))))
      ;; Days since 0000-03-01, so that a leap day is the last day of its year.
      (local.set $days
        (i32.add (i32.wrap_i64 (i64.div_u (local.get $seconds) (i64.const 86400))) (i32.const 719468)))
      (local.set $era (i32.div_u (local.get $days) (i32.const 146097)))
      (local.set $day_of_era (i32.rem_u (local.get $days) (i32.const 146097)))
      (local.set $year_of_era
        (i32.div_u
          (i32.sub
            (i32.add
              (i32.sub (local.get $day_of_era) (i32.div_u (local.get $day_of_era) (i32.const 1460)))
              (i32.div_u (local.get $day_of_era) (i32.const 36524)))
            (i32.div_u (local.get $day_of_era) (i32.const 146096)))
          (i32.const 365)))
      (local.set $day_of_year
        (i32.sub
          (local.get $day_of_era)
          (i32.sub
            (i32.add
              (i32.mul (local.get $year_of_era) (i32.const 365))
              (i32.div_u (local.get $year_of_era) (i32.const 4)))
            (i32.div_u (local.get $year_of_era) (i32.const 100)))))
      (local.set $shifted_month
        (i32.div_u
          (i32.add (i32.mul (local.get $day_of_year) (i32.const 5)) (i32.const 2))
          (i32.const 153)))
      (local.set $day
        (i32.add
          (i32.sub
            (local.get $day_of_year)
            (i32.div_u
              (i32.add (i32.mul (local.get $shifted_month) (i32.const 153)) (i32.const 2))
              (i32.const 5)))
          (i32.const 1)))
      (local.set $month
        (select
          (i32.add (local.get $shifted_month) (i32.const 3))
          (i32.sub (local.get $shifted_month) (i32.const 9))
          (i32.lt_u (local.get $shifted_month) (i32.const 10))))
      (local.set $year
        (i32.add
          (i32.add (local.get $year_of_era) (i32.mul (local.get $era) (i32.const 400)))
          (i32.le_u (local.get $month) (i32.const 2))))
      ;; YYYY-MM-DDTHH:MM:SSZ at 32.
      (call $two (i32.const 32) (i32.div_u (local.get $year) (i32.const 100)))
      (call $two (i32.const 34) (i32.rem_u (local.get $year) (i32.const 100)))
      (i32.store8 (i32.const 36) (i32.const 45))
      (call $two (i32.const 37) (local.get $month))
      (i32.store8 (i32.const 39) (i32.const 45))
      (call $two (i32.const 40) (local.get $day))
      (i32.store8 (i32.const 42) (i32.const 84))
      (call $two (i32.const 43) (i32.div_u (local.get $second) (i32.const 3600)))
      (i32.store8 (i32.const 45) (i32.const 58))
      (call $two (i32.const 46) (i32.rem_u (i32.div_u (local.get $second) (i32.const 60)) (i32.const 60)))
      (i32.store8 (i32.const 48) (i32.const 58))
      (call $two (i32.const 49) (i32.rem_u (local.get $second) (i32.const 60)))
      (i32.store8 (i32.const 51) (i32.const 90))
      ;; The string's address and length at 64.
      (i32.store (i32.const 64) (i32.const 32))
      (i32.store (i32.const 68) (i32.const 20))
      (i32.const 64)))
  (core instance $code
    (instantiate $code
      (with "host" (instance (export "memory" (memory $memory "memory")) (export "now" (func $now))))))
  (func $time (result string) (canon lift (core func $code "time") (memory (core memory $memory "memory"))))
  (export "time" (func $time)))
