//! The load of `ci/bench`: two workers start programs, one after the other, and wait for each.
//! Arguments: the number of programs, the program, and how many different commands there are to be (all
//! are, if it is not said). The program gets the numbers of the worker and of the start as arguments, the
//! latter modulo that. Prints the elapsed seconds.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

const WORKERS: usize = 2;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let count = arguments.next().expect("it is told how many");
    let count: usize = count
        .to_str()
        .and_then(|count| count.parse().ok())
        .expect("a number");
    let program = &arguments.next().expect("it is told what to start");
    let different = arguments.next().map_or(count, |different| {
        let different = different.to_str().and_then(|number| number.parse().ok());
        different.expect("a number")
    });
    let start = Instant::now();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || {
                for i in 0..count / WORKERS {
                    let mut command = Command::new(program);
                    command.args([worker.to_string(), (i % different).to_string()]);
                    command.stdin(Stdio::null()).stdout(Stdio::null());
                    assert!(command.status().expect("it starts").success());
                }
            });
        }
    });
    println!("{:.3}", start.elapsed().as_secs_f64());
}
