//! Argument text to component values by the compiled plan, beside a `serde_json::Value` of the same text (which only parses).
//! The promise: the plan, which also checks types and builds the values, costs no more than that.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use margay::component::wit::{FunctionPlan, Plan};

/// Nesting that the arguments may have.
const DEPTH_MAX: usize = 128;

fn cases() -> Vec<(&'static str, FunctionPlan, Vec<u8>)> {
    let item = Plan::Record(vec![
        ("sku".into(), Plan::String),
        ("count".into(), Plan::Unsigned(32)),
        ("price".into(), Plan::Float64),
    ]);
    let items: Vec<String> = (0..100)
        .map(|number| format!(r#"{{"sku":"A-{number}","count":{number},"price":{number}.5}}"#))
        .collect();
    vec![
        (
            "text_100",
            FunctionPlan::from_parts(vec![("text".into(), Plan::String)], Some(Plan::String)),
            format!(r#"{{"text":"{}"}}"#, "x".repeat(100)).into_bytes(),
        ),
        (
            "text_10k_escaped",
            FunctionPlan::from_parts(vec![("text".into(), Plan::String)], Some(Plan::String)),
            format!(r#"{{"text":"{}"}}"#, "line of text\\n".repeat(700)).into_bytes(),
        ),
        (
            "items_100",
            FunctionPlan::from_parts(vec![("items".into(), Plan::List(Box::new(item)))], None),
            format!(r#"{{"items":[{}]}}"#, items.join(",")).into_bytes(),
        ),
        (
            "floats_1000",
            FunctionPlan::from_parts(
                vec![("values".into(), Plan::List(Box::new(Plan::Float64)))],
                None,
            ),
            format!(r#"{{"values":[{}]}}"#, vec!["1.25"; 1000].join(",")).into_bytes(),
        ),
    ]
}

fn benches(criterion: &mut Criterion) {
    for (name, plan, text) in cases() {
        let mut group = criterion.benchmark_group(format!("argument_plan_{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("plan", |bencher| {
            bencher.iter(|| black_box(plan.decode(black_box(&text), DEPTH_MAX)))
        });
        group.bench_function("serde_json_value", |bencher| {
            bencher.iter(|| {
                black_box(serde_json::from_slice::<serde_json::Value>(black_box(
                    &text,
                )))
            });
        });
        group.finish();
    }
}

criterion_group!(argument_plan, benches);
criterion_main!(argument_plan);
