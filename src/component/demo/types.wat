;; check-order: func(order: order) -> order
;;
;; Gives an order back as it was understood: a record with options, variants, lists, flags, enums, tuples and a result.
;;
;; The order has more than 16 core values, so the canonical ABI passes it by address, and a record comes back by address too:
;; the code is the identity.
(component
  (type $priority-fields (enum "low" "normal" "high"))
  (export $priority "priority" (type $priority-fields))
  (type $extras-fields (flags "gift-wrap" "insured" "express"))
  (export $extras "extras" (type $extras-fields))
  (type $item-fields (record (field "sku" string) (field "count" u32) (field "price" f64)))
  (export $item "item" (type $item-fields))
  (type $shipping-fields
    (variant (case "pickup") (case "courier" string) (case "post" (tuple string u32))))
  (export $shipping "shipping" (type $shipping-fields))
  (type $order-fields
    (record
      (field "id" u64)
      (field "customer" string)
      (field "priority" $priority)
      (field "items" (list $item))
      (field "shipping" $shipping)
      (field "extras" $extras)
      (field "note" (option string))
      (field "discount" (result u8 (error string)))))
  (export $order "order" (type $order-fields))

  (core module $module
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 16))
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $free) (i32.shl (memory.size) (i32.const 16)))
        (then
          (if (i32.eq
                (memory.grow
                  (i32.add
                    (i32.shr_u (i32.sub (global.get $free) (i32.shl (memory.size) (i32.const 16))) (i32.const 16))
                    (i32.const 1)))
                (i32.const -1))
            (then (unreachable)))))
      (local.get $at))
    (func (export "check-order") (param $order i32) (result i32)
      (local.get $order)))
  (core instance $instance (instantiate $module))
  (func $check-order (param "order" $order) (result $order)
    (canon lift (core func $instance "check-order") (memory (core memory $instance "memory")) (realloc (core func $instance "realloc"))))
  (export "check-order" (func $check-order)))
