//! Leaving secrets out of arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use kamap::Process;
use regex::bytes::Regex;

/// What stands where something was left out.
pub const MARK: &str = "[redacted]";

/// What is left out of the arguments of processes.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Leave out all arguments but the first, which names the program.
    pub all_args: bool,
    /// Leave out what matches, in each argument.
    pub pattern: Option<Regex>,
}

impl Redaction {
    /// The process without it, and whether anything was left out.
    pub(crate) fn apply(&self, process: Process) -> (Process, bool) {
        let redacted: Option<Vec<OsString>> = if self.all_args {
            let first = process.args().next().map(OsStr::to_owned);
            let has_more = process.args().nth(1).is_some();
            has_more.then(|| first.into_iter().chain([MARK.into()]).collect())
        } else if let Some(pattern) = &self.pattern {
            let has_match = process.args().any(|arg| pattern.is_match(arg.as_bytes()));
            let replaced = |arg: &OsStr| {
                let mark = regex::bytes::NoExpand(MARK.as_bytes());
                OsString::from_vec(pattern.replace_all(arg.as_bytes(), mark).into_owned())
            };
            has_match.then(|| process.args().map(replaced).collect())
        } else {
            None
        };
        match redacted {
            Some(args) => (process.with_args(args), true),
            None => (process, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn redacted(redaction: &Redaction, args: &[&str]) -> (Vec<OsString>, bool) {
        let process = Process::new(7, Duration::ZERO).with_args(args);
        let (process, redacted) = redaction.apply(process);
        (process.args().map(OsStr::to_owned).collect(), redacted)
    }

    #[test]
    fn what_is_left_out_is_marked() {
        let args = ["mysql", "-psecret", "--token=secret"];
        let nothing = Redaction::default();
        assert_eq!(
            redacted(&nothing, &args),
            (args.map(OsString::from).to_vec(), false)
        );
        let all = Redaction {
            all_args: true,
            pattern: None,
        };
        assert_eq!(
            redacted(&all, &args),
            (vec!["mysql".into(), MARK.into()], true)
        );
        assert_eq!(redacted(&all, &["mysql"]), (vec!["mysql".into()], false));
        let pattern = Redaction {
            pattern: Some(Regex::new("secret$").expect("it is one")),
            ..nothing
        };
        let expected = ["mysql", "-p[redacted]", "--token=[redacted]"];
        assert_eq!(
            redacted(&pattern, &args),
            (expected.map(OsString::from).to_vec(), true)
        );
        assert_eq!(redacted(&pattern, &["ls"]), (vec!["ls".into()], false));
    }
}
