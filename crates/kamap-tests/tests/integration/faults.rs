//! Faults of the machine: too little of what any program takes for granted. There is one line
//! of error and the right status, and a command that was started is waited for.

use std::process::Command;

use kamap_tests::FullGroup;
use rstest::rstest;

use crate::programs::KAMAP;

#[rstest]
#[case::table(&["--once"])]
#[case::verify(&["verify"])]
#[case::a_command_that_cannot_be_started(&["run", "true"])]
fn no_thread_is_needed(#[case] arguments: &[&str]) {
    let group = FullGroup::new();
    let mut command = Command::new(KAMAP);
    let output = group.hold(command.args(arguments)).output();
    let output = output.expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if arguments.contains(&"run") {
        assert_eq!(
            (output.status.code(), &*stderr),
            (
                Some(126),
                "kamap: failed to run `true`: Resource temporarily unavailable (os error 11)\n"
            )
        );
    } else {
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
    }
}
