//! Readers that are slow, stopped or killed.

use std::process::Command;

use kamap_tests::{Held, Loaded, eventually};

use crate::programs::DROPPED;

#[test]
fn a_tracker_that_is_dropped_leaves_nothing_behind() {
    let mut child = Held::start(&mut Command::new(DROPPED));
    let loaded = Loaded::by(child.pid());
    assert_eq!(loaded.links.len(), 5, "{loaded:?}");
    assert!(!loaded.is_gone());
    child.say("\n");
    assert_eq!(child.line(), "", "it has dropped the tracker");
    assert_eq!(Loaded::by(child.pid()), Loaded::default());
    eventually("the kernel has freed all of it", || {
        loaded.is_gone().then_some(())
    });
    assert!(child.release().success());
}
