//! How processes end.

use std::os::unix::process::ExitStatusExt;

use kamap_tests::Held;

use crate::fixtures::{row, tracker};
use crate::programs::held;

#[test]
fn a_killed_process_disappears() {
    let tracker = tracker();
    let child = Held::start(&mut held());
    let pid = child.pid();
    assert!(row(&tracker, pid).is_some());
    assert_eq!(child.kill().signal(), Some(libc::SIGKILL));
    assert_eq!(row(&tracker, pid), None);
}
