//! Names of signals and errors.

use std::borrow::Cow;

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// The name of a signal, such as `SIGKILL`. A real-time signal is `SIGRTMIN+3` or `SIGRTMAX-3`,
/// counted from the closer end, as bash does.
///
/// ```
/// assert_eq!(kamap::signal_name(9), "SIGKILL");
/// ```
pub fn signal_name(number: i32) -> Cow<'static, str> {
    match Signal::try_from(number) {
        Ok(signal) => Cow::Borrowed(signal.as_str()),
        Err(_) => Cow::Owned(real_time_signal(number)),
    }
}

/// The C library keeps the two signals before the first for itself: they have no name.
fn real_time_signal(number: i32) -> String {
    let (min, max) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let (after, before) = (number - min, max - number);
    match (after, before) {
        (..0, _) | (_, ..0) => format!("SIG{number}"),
        (0, _) => "SIGRTMIN".to_owned(),
        (_, 0) => "SIGRTMAX".to_owned(),
        _ if after <= before => format!("SIGRTMIN+{after}"),
        _ => format!("SIGRTMAX-{before}"),
    }
}

/// The name of an error of a system call, such as `ENOENT`; its number where it has no name.
///
/// ```
/// assert_eq!(kamap::errno_name(2), "ENOENT");
/// ```
pub fn errno_name(number: i32) -> String {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => number.to_string(),
        error => format!("{error:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it starts a process")]
    fn signals_have_the_names_that_bash_has_for_them() {
        let script = "kill -l | tr '\\t' '\\n'";
        let output = Command::new("bash").args(["-c", script]).output();
        let names = String::from_utf8(output.expect("bash runs").stdout).expect("it is UTF-8");
        let mut known = 0;
        for line in names.lines().filter(|line| !line.trim().is_empty()) {
            let (number, name) = line.split_once(')').expect("it has a number");
            let number = number.trim().parse().expect("it is a number");
            assert_eq!(signal_name(number), name.trim());
            known += 1;
        }
        assert_eq!(known, 62, "{names}");
        assert_eq!(signal_name(32), "SIG32");
        assert_eq!(signal_name(65), "SIG65");
    }

    #[test]
    fn an_error_without_a_name_is_its_number() {
        assert_eq!(errno_name(libc::EAGAIN), "EAGAIN");
        assert_eq!(errno_name(4095), "4095");
    }
}
