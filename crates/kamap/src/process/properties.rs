//! What holds for rows of any bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{decoded, row};
use super::*;

const SIZE: usize = size_of::<kamap_process>();

fn config() -> ProptestConfig {
    ProptestConfig {
        // Miri is some hundred times slower.
        cases: if cfg!(miri) { 8 } else { 2048 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A row of any bytes, with lengths that often fit.
fn any_row() -> impl Strategy<Value = kamap_process> {
    let len = || prop_oneof![0..=TEXT_LEN as u16 + 1, any::<u16>()];
    let words = vec(any::<u64>(), SIZE.div_ceil(8));
    let args_kept = prop_oneof![len().prop_map(u32::from), any::<u32>()];
    (words, len(), len(), args_kept).prop_map(|(words, exe_len, file_len, args_kept)| {
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
        assert!(bytes.len() >= SIZE);
        // SAFETY: there are enough bytes, and any are a valid row (`MapData`).
        let mut row: kamap_process =
            unsafe { bytes.as_ptr().cast::<kamap_process>().read_unaligned() };
        (row.facts.exe_len, row.facts.file_len) = (exe_len, file_len);
        row.facts.args_kept = args_kept;
        row
    })
}

/// At most `max` bytes, made word by word: one by one they take most of the time.
fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let words = vec(any::<u64>(), 0..=max.div_ceil(8));
    (words, 0..8_usize).prop_map(move |(words, less)| {
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
        bytes.truncate(max.min(bytes.len().saturating_sub(less)));
        bytes
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_a_row(row in any_row()) {
        let process = Process::from_row(&row);
        prop_assert_eq!(process.is_none(), row.facts.start_time == 0);
        let Some(process) = process else { return Ok(()) };
        let file_len = process.file.as_ref().map_or(0, |file| file.len());
        let kept = process.exe.len() + file_len + process.args.len();
        let marks = "… (deleted)…".len();
        prop_assert!(kept <= TEXT_LEN + marks);
        prop_assert!(process.args.len() <= row.facts.args_kept as usize);
        prop_assert_eq!(process.args_cut, row.facts.args_kept < row.facts.args_len);
        prop_assert!(process.comm.len() <= row.facts.comm.len() && !process.comm.contains(&0));

        // Nothing of the arguments is lost, and nothing comes in.
        let args: Vec<_> = process.args().map(OsStr::as_bytes).collect();
        prop_assert!(args.iter().all(|arg| !arg.contains(&0)));
        let joined = args.join(&0);
        let last_nul = process.args.strip_suffix(b"\0").unwrap_or(&process.args);
        prop_assert_eq!(joined, last_nul);
        prop_assert_eq!(args.is_empty(), process.args.is_empty());

        // What shows it does not panic.
        let shown = format!("{process:?}{}", process.comm());
        prop_assert!(!shown.is_empty());
        prop_assert_eq!(process.exe().is_none(), process.exe.is_empty());
        let is_known = row.facts.flags.0 & kamap_flag::KAMAP_FILE_KNOWN.0 != 0;
        prop_assert_eq!(process.file().is_some(), is_known);
    }

    #[test]
    fn what_is_put_into_a_row_comes_out_of_it(
        exe in bytes(255),
        file in bytes(255),
        mut args in vec(bytes(24), 0..6),
    ) {
        args.iter_mut().flatten().for_each(|byte| *byte = (*byte).max(1));
        let bytes: Vec<u8> = args.iter().flat_map(|arg| [arg, &b"\0"[..]].concat()).collect();
        prop_assert!(exe.len() + file.len() + bytes.len() <= TEXT_LEN);
        let process = decoded(&row(&exe, &file, &bytes));
        let path = |path: Option<&Path>| path.map(|path| path.as_os_str().as_bytes().to_vec());
        prop_assert_eq!(path(process.exe()).unwrap_or_default(), exe);
        prop_assert_eq!(path(process.file()).unwrap_or_default(), file);
        let known: Vec<_> = process.args().map(OsStr::as_bytes).collect();
        prop_assert_eq!(known, args);
        prop_assert!(!process.args_cut);
    }
}
