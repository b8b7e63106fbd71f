//! What corosensei's coroutines cost, for the native benchmark. It reads lines "question count" and answers each with the
//! nanoseconds that one operation took, until its input ends.

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, Yielder};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

fn main() {
    for line in std::io::stdin().lines() {
        let line = line.expect("standard input is readable");
        let (question, count) = line.split_once(' ').expect("a question and a count");
        let count: u32 = count.parse().expect("the count is a number");
        let nanoseconds = match question {
            "switch" => switch(count),
            "spawn" => spawn(count),
            "spawn-reused" => spawn_reused(count),
            _ => panic!("no such question: {question}"),
        };
        println!("{nanoseconds}");
        std::io::stdout().flush().expect("standard output is writable");
    }
}

/// `pairs` of resume and suspend on one stack; two switches each.
fn switch(pairs: u32) -> f64 {
    let mut coroutine = Coroutine::new(|yielder: &Yielder<(), ()>, ()| loop {
        yielder.suspend(());
    });
    coroutine.resume(());
    let start = Instant::now();
    for _ in 0..pairs {
        coroutine.resume(());
    }
    start.elapsed().as_nanos() as f64 / (2.0 * f64::from(pairs))
}

/// A coroutine on a stack of its own, mapped for it, that returns at once.
fn spawn(count: u32) -> f64 {
    let start = Instant::now();
    for i in 0..count {
        let mut coroutine = Coroutine::new(move |_: &Yielder<(), ()>, ()| black_box(i));
        black_box(coroutine.resume(()).as_return());
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

/// The same, each on the stack that the one before has left.
fn spawn_reused(count: u32) -> f64 {
    let mut stack = DefaultStack::default();
    let start = Instant::now();
    for i in 0..count {
        let mut coroutine = Coroutine::with_stack(stack, move |_: &Yielder<(), ()>, ()| black_box(i));
        black_box(coroutine.resume(()).as_return());
        stack = coroutine.into_stack();
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}
