//! What holds for logs of any text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        // Miri is some hundred times slower.
        cases: if cfg!(miri) { 8 } else { 2048 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What a log is made of, in any order, among anything.
fn any_log() -> impl Strategy<Value = String> {
    let known = select(vec![
        "libbpf: prog '",
        "on_exec'",
        "'",
        "-- BEGIN PROG LOAD LOG --",
        "-- END PROG LOAD LOG --",
        "libbpf: map 'processes': failed to create: ",
        "processed 2 insns",
        "; pid",
        "\n",
    ]);
    let piece = prop_oneof![4 => known.prop_map(str::to_owned), 1 => any::<String>()];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_log_can_be_read(log in any_log(), errno in 1..=133_i32, max_entries in any::<u32>()) {
        if let Some((program, reason)) = rejected(&log) {
            prop_assert!(!program.contains('\''));
            prop_assert!(!reason.is_empty() && !reason.contains('\n'));
            prop_assert_eq!(reason.trim(), &reason);
        }
        if let Some(reason) = refused_map(&log, "processes") {
            prop_assert!(!reason.contains('\n'));
        }
        let source = libbpf_rs::Error::from_raw_os_error(errno);
        let error = Error::from_libbpf("load", source, log.clone(), max_entries);
        prop_assert!(!error.to_string().is_empty());
        // What libbpf said is all there, or the error says what it means.
        prop_assert!(error.log().is_none_or(|kept| kept == log));
    }
}
