//! The examples print what their readers are told.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const USER_MAP: &str = "\
created `traffic`: keys of 4 bytes, values of 16, at most 4 entries
get: None
insert if present: false
insert if absent: true
insert if absent: false
get: Some(Traffic { bytes: 200, packets: 2 })
insert if present: true
take: Some(Traffic { bytes: 400, packets: 4 })
take: None
insert any: true
remove: true
remove: false
insert many: 4 of 5, map `traffic` is full (4 entries)
remove many: 1
walk: Service { port: 22, proto: 6 } Traffic { bytes: 2200, packets: 22 }
walk: Service { port: 80, proto: 6 } Traffic { bytes: 8000, packets: 80 }
walk: Service { port: 443, proto: 6 } Traffic { bytes: 44300, packets: 443 }
next key: 3 times
waiting for Ctrl-C
";

#[test]
fn the_example_of_a_map_shows_each_operation_and_ends_at_ctrl_c() {
    let tests = env::current_exe().expect("it is known");
    let folder = tests
        .parent()
        .and_then(|deps| deps.parent())
        .expect("it has one");
    let mut example = Command::new(folder.join("examples/user_map"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is built");
    let mut output = BufReader::new(example.stdout.take().expect("it is piped"));
    let mut text = String::new();
    while !text.ends_with("waiting for Ctrl-C\n") {
        assert_ne!(
            output.read_line(&mut text).expect("it is text"),
            0,
            "{text}"
        );
    }
    assert_eq!(text, USER_MAP);

    let pid = example.id().cast_signed();
    // SAFETY: a signal to a child that has not been waited for.
    let sent = unsafe { libc::kill(pid, libc::SIGINT) };
    assert_eq!(sent, 0);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("it is text");
    assert_eq!(
        rest,
        "drained 3 entries; the map goes with its last handle\n"
    );
    assert!(example.wait().expect("it is a child").success());
}
