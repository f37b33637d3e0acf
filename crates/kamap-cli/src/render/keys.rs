//! What is typed on a terminal.

use std::io::{self, Read, Stdin};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

use crate::policy::memory;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    /// F1 to F12.
    Function(u8),
}

/// The terminal on standard input, which hands out keys at once and does not show them. It is as it was
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct Keys {
    terminal: Stdin,
    before: Termios,
}

impl Keys {
    /// `None` if standard input is not a terminal, or if this process runs in its background: changing it
    /// would stop the process.
    pub(crate) fn open() -> Option<Self> {
        let terminal = io::stdin();
        if tcgetpgrp(&terminal) != Ok(getpgrp()) {
            return None;
        }
        let before = tcgetattr(&terminal).ok()?;
        let mut settings = before.clone();
        // Signals, such as that of Ctrl-C, are sent as before.
        settings
            .local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        memory::set_keys(true);
        tcsetattr(&terminal, SetArg::TCSANOW, &settings).ok()?;
        Some(Self { terminal, before })
    }

    /// The keys that were typed; `None` if the terminal is gone.
    pub(crate) fn read(&self) -> Option<Vec<Key>> {
        let mut bytes = [0; 256];
        match self.terminal.lock().read(&mut bytes) {
            Ok(0) => None,
            Ok(len) => Some(parse(&bytes[..len])),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => Some(Vec::new()),
            Err(_) => None,
        }
    }
}

impl AsFd for Keys {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Fails if the terminal is gone. It does not wait for what is written, which nobody may read.
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
        memory::set_keys(false);
    }
}

/// The keys for which a terminal sends these bytes. What is not a key of these is left out.
fn parse(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let [first, others @ ..] = rest {
        rest = others;
        match first {
            b'\x1b' => {
                let (key, len) = escaped(others);
                keys.extend(key);
                rest = &others[len..];
            }
            b'\r' | b'\n' => keys.push(Key::Enter),
            b'\x7f' | b'\x08' => keys.push(Key::Backspace),
            0..0x20 => {}
            _ => {
                let begin = &bytes[bytes.len() - others.len() - 1..];
                let len = begin.len().min(4);
                let valid = begin[..len].utf8_chunks().next();
                if let Some(c) = valid.and_then(|chunk| chunk.valid().chars().next()) {
                    keys.push(Key::Char(c));
                    rest = &begin[c.len_utf8()..];
                }
            }
        }
    }
    keys
}

/// The key of the bytes after an escape, and how many of them belong to it.
fn escaped(bytes: &[u8]) -> (Option<Key>, usize) {
    let (introducer, len) = match bytes {
        [introducer @ (b'[' | b'O'), ..] => (*introducer, 1),
        // The key itself.
        _ => return (Some(Key::Escape), 0),
    };
    let parameters = &bytes[len..];
    let is_final = |byte: &u8| matches!(byte, 0x40..=0x7e);
    let Some(end) = parameters.iter().position(is_final) else {
        return (None, bytes.len());
    };
    let number = parameters[..end]
        .split(|byte| *byte == b';')
        .next()
        .and_then(|digits| str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u8>().ok());
    let key = match (parameters[end], number) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'C', _) => Some(Key::Right),
        (b'D', _) => Some(Key::Left),
        (b'H', _) | (b'~', Some(1 | 7)) => Some(Key::Home),
        (b'F', _) | (b'~', Some(4 | 8)) => Some(Key::End),
        (b'~', Some(5)) => Some(Key::PageUp),
        (b'~', Some(6)) => Some(Key::PageDown),
        (letter @ b'P'..=b'S', _) if introducer == b'O' => Some(Key::Function(letter - b'P' + 1)),
        (b'~', Some(number @ 11..=15)) => Some(Key::Function(number - 10)),
        (b'~', Some(number @ 17..=21)) => Some(Key::Function(number - 11)),
        _ => None,
    };
    (key, len + end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::escape::tests::config;
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        use Key::{
            Backspace, Char, Down, End, Enter, Escape, Function, Home, Left, PageDown, PageUp,
            Right, Up,
        };
        for (bytes, keys) in [
            ("q/ab", &[Char('q'), Char('/'), Char('a'), Char('b')][..]),
            ("ä日", &[Char('ä'), Char('日')]),
            ("\x1b", &[Escape]),
            ("\x1bq", &[Escape, Char('q')]),
            ("\x1b\x1b", &[Escape, Escape]),
            ("\x1b[A\x1b[B\x1bOC\x1b[D", &[Up, Down, Right, Left]),
            ("\x1b[5~\x1b[6~", &[PageUp, PageDown]),
            ("\x1b[H\x1b[F\x1b[1~\x1b[4~", &[Home, End, Home, End]),
            (
                "\x1bOP\x1b[15~\x1b[17~\x1b[21~",
                &[Function(1), Function(5), Function(6), Function(10)],
            ),
            ("\x1b[1;5A", &[Up]),
            ("\x1b[200~x", &[Char('x')]),
            ("\x1b[99", &[]),
            ("\r\n\x7f\x08\t\x01", &[Enter, Enter, Backspace, Backspace]),
        ] {
            assert_eq!(parse(bytes.as_bytes()), keys, "{bytes:?}");
        }
        assert_eq!(parse(b"\xff\xe6x"), [Char('x')]);
    }

    proptest! {
        #![proptest_config(config(2048))]

        #[test]
        fn any_bytes_are_keys_or_nothing(bytes in vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'[')], 0..20)) {
            prop_assert!(parse(&bytes).len() <= bytes.len());
        }
    }
}
