//! The examples that come with BPF programs, from outside.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kamap_tests::Held;

use crate::programs::{HELD, held};

fn example(name: &str) -> PathBuf {
    Path::new(HELD).with_file_name("examples").join(name)
}

#[test]
fn a_map_that_the_kernel_writes_shows_who_execs_as_long_as_it_lives() {
    let mut example = Command::new(example("kernel_and_user_map"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is built");
    let mut lines = BufReader::new(example.stdout.take().expect("it is piped")).lines();
    let mut line = || lines.next().expect("it goes on").expect("it is text");
    assert_eq!(line(), "watching; end with Ctrl-C");

    let child = Held::start(&mut held());
    let pid = child.pid().to_string();
    let parent = std::process::id().to_string();
    // Whether the next table has the child.
    let mut shown = || {
        let mut found = false;
        loop {
            let line = line();
            let words: Vec<_> = line.split_whitespace().collect();
            if let [first, second, _, name] = words[..]
                && first == pid
            {
                assert_eq!((second, name), (&*parent, "held"));
                found = true;
            }
            if line.is_empty() {
                return found;
            }
        }
    };
    // The second table was read after the child exec'd.
    assert!(shown() || shown());
    assert!(child.release().success());
    assert!(!shown() || !shown());

    // SAFETY: a signal to a child that has not been waited for.
    unsafe { libc::kill(example.id().cast_signed(), libc::SIGINT) };
    let last = lines.last().expect("there is more").expect("it is text");
    assert_eq!(last, "detached; the map goes with its last handle");
    assert!(example.wait().expect("it ends").success());
}

#[test]
fn the_example_of_a_perf_event_array_receives_what_is_sent() {
    let perf_events = Command::new(example("perf_events")).output();
    let output = perf_events.expect("it is built");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let pids = |line: &str| line.strip_prefix("started ").map(str::to_owned);
    let started: Vec<String> = text.lines().filter_map(pids).collect();
    assert_eq!(started.len(), 5, "{text}");
    for pid in started {
        let told = format!(": pid {pid} has exec'd, cookie 0x12345678\n");
        assert_eq!(text.matches(&told).count(), 1, "{text}");
    }
    assert!(text.ends_with("all 5 have been seen, 0 lost\n"), "{text}");
}

#[test]
fn the_example_of_an_asynchronous_reader_receives_what_is_sent() {
    let output = Command::new(example("async_events")).output();
    let output = output.expect("it is built");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(text.matches(" has exec'd\n").count(), 5, "{text}");
    assert!(text.ends_with("all 5 have been seen\n"), "{text}");
}
