//! Texts that come again and again, each written once for a file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use kamap::Process;

use crate::rows::{Batch, CommandRow, Text};

/// How many of each kind are known at a time. Those that are forgotten are written again.
const MOST: usize = 1 << 16;

/// What `cut` of a command consists of.
pub(crate) const EXE_CUT: i64 = 1;
pub(crate) const FILE_CUT: i64 = 2;
pub(crate) const ARGS_CUT: i64 = 4;

/// The rows of texts that are known, of one file.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    strings: Rows,
    commands: Rows,
    /// The key of a command, of which the memory is used again.
    key: Vec<u8>,
}

#[derive(Debug, Default)]
struct Rows {
    known: HashMap<Vec<u8>, i64>,
    last: i64,
}

impl Rows {
    /// The number of the row of `key`, and whether it is new.
    fn number(&mut self, key: &[u8]) -> (i64, bool) {
        if let Some(&id) = self.known.get(key) {
            return (id, false);
        }
        if self.known.len() == MOST {
            self.known.clear();
        }
        self.last += 1;
        self.known.insert(key.to_vec(), self.last);
        (self.last, true)
    }
}

impl Interner {
    /// Goes on behind these rows.
    pub(crate) fn after(strings: i64, commands: i64) -> Self {
        let rows = |last| Rows {
            last,
            ..Rows::default()
        };
        Self {
            strings: rows(strings),
            commands: rows(commands),
            key: Vec::new(),
        }
    }

    pub(crate) fn string(&mut self, text: &[u8], batch: &mut Batch) -> i64 {
        let (id, is_new) = self.strings.number(text);
        if is_new {
            batch.strings.push((id, text.into()));
        }
        id
    }

    /// What `process` runs. `redacted`: something was left out of its arguments.
    pub(crate) fn command(&mut self, process: &Process, redacted: bool, batch: &mut Batch) -> i64 {
        let exe = process.exe().map(|path| path.as_os_str().as_bytes());
        let file = process.file().map(|path| path.as_os_str().as_bytes());
        let flag = |is_cut, flag| if is_cut { flag } else { 0 };
        let cut = flag(process.exe_cut, EXE_CUT)
            | flag(process.file_cut, FILE_CUT)
            | flag(process.args_cut, ARGS_CUT);
        self.key.clear();
        self.key
            .push(cut as u8 | u8::from(redacted) << 3 | u8::from(file.is_some()) << 4);
        // No text holds a NUL.
        for text in [exe, file].map(Option::unwrap_or_default) {
            self.key.extend(text);
            self.key.push(0);
        }
        for arg in process.args() {
            self.key.extend(arg.as_bytes());
            self.key.push(0);
        }
        let (id, is_new) = self.commands.number(&self.key);
        if is_new {
            batch.commands.push(CommandRow {
                id,
                exe: exe.map(Text::from),
                file: file.map(Text::from),
                args: encode_args(process),
                cut,
                redacted,
            });
        }
        id
    }
}

/// A JSON array or, where they are not all UTF-8, their bytes, each with a NUL behind it.
fn encode_args(process: &Process) -> Text {
    let texts: Option<Vec<&str>> = process.args().map(OsStr::to_str).collect();
    match texts.map(|texts| serde_json::to_string(&texts)) {
        Some(Ok(json)) => Text::Utf8(json),
        _ => Text::Bytes(
            process
                .args()
                .flat_map(|arg| [arg.as_bytes(), b"\0"].concat())
                .collect(),
        ),
    }
}

/// The arguments that [`encode_args`] has encoded.
pub(crate) fn decode_args(text: &Text) -> Vec<Vec<u8>> {
    match text {
        Text::Utf8(json) => {
            let texts: Vec<String> = serde_json::from_str(json).unwrap_or_default();
            texts.into_iter().map(String::into_bytes).collect()
        }
        Text::Bytes(bytes) => {
            let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
            bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn arguments_come_back_byte_for_byte() {
        for args in [
            &[][..],
            &[b"".as_slice()],
            &[b"a\"\n", b"\xff", b""],
            &[b"\xc3\xa9", b"x y"],
        ] {
            let process = Process::new(7, Duration::ZERO)
                .with_args(args.iter().map(|arg| OsStr::from_bytes(arg)));
            assert_eq!(decode_args(&encode_args(&process)), args);
        }
    }

    #[test]
    fn a_text_is_written_once_and_different_ones_stay_apart() {
        let (mut interner, mut batch) = (Interner::default(), Batch::default());
        let process = |exe: &str, args: &[&str]| {
            Process::new(7, Duration::ZERO)
                .with_exe(exe)
                .with_args(args)
        };
        let different = [
            process("/bin/a", &[]),
            process("", &["/bin/a"]),
            process("/bin/a", &["", ""]),
            process("/bin/a", &[""]),
            process("/bin/a", &[]).with_file(""),
        ];
        let mut ids: Vec<_> = different
            .iter()
            .chain(&different)
            .map(|process| interner.command(process, false, &mut batch))
            .collect();
        ids.push(interner.command(&different[0], true, &mut batch));
        assert_eq!(ids, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]);
        assert_eq!(batch.commands.len(), 6);
        assert_eq!(interner.string(b"x", &mut batch), 1);
        assert_eq!(interner.string(b"x", &mut batch), 1);
        assert_eq!(batch.strings.len(), 1);
    }
}
