//! As whom a command runs, and in which environment.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid, User, getgrouplist, setgid, setgroups, setuid};

use super::Args;
use crate::policy::errors::UsageError;

/// How many ancestors of kamap may be between it and sudo, such as a shell.
const MOST_ANCESTORS: usize = 8;

/// A user, and the environment of a command of that user.
#[derive(Debug)]
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    environment: Vec<(OsString, OsString)>,
}

impl Identity {
    /// As whom the command is to run; `None`: as kamap does.
    pub(super) fn chosen(args: &Args) -> Result<Option<Self>> {
        if let Some(user) = &args.user {
            let user = named(user)?;
            if !Uid::effective().is_root() {
                return Err(UsageError("--user needs root").into());
            }
            return Self::of(&user, own_environment(&user)).map(Some);
        }
        if args.as_root || !Uid::effective().is_root() {
            return Ok(None);
        }
        let Some(user) = invoker()? else {
            return Ok(None);
        };
        let environment = environment_of_sudo().unwrap_or_else(|| own_environment(&user));
        Self::of(&user, environment).map(Some)
    }

    fn of(user: &User, environment: Vec<(OsString, OsString)>) -> Result<Self> {
        let name = CString::new(&*user.name).context("a user has a name with a NUL")?;
        let groups = getgrouplist(&name, user.gid);
        Ok(Self {
            uid: user.uid,
            gid: user.gid,
            groups: groups.with_context(|| format!("cannot find the groups of {}", user.name))?,
            environment,
        })
    }

    /// Lets `command` run so.
    pub(super) fn apply(self, command: &mut Command) {
        let (uid, gid, groups) = (self.uid, self.gid, self.groups);
        command.env_clear().envs(self.environment);
        let become_user = move || {
            // Root is given up last, as the others need it.
            setgroups(&groups)
                .and_then(|()| setgid(gid))
                .and_then(|()| setuid(uid))
                .map_err(io::Error::from)
        };
        // SAFETY: it makes three system calls, which a child may between fork and exec, and allocates nothing.
        unsafe { command.pre_exec(become_user) };
    }
}

fn named(name: &str) -> Result<User> {
    let by_number = || match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => Ok(None),
    };
    let user = match User::from_name(name) {
        Ok(None) => by_number(),
        user => user,
    };
    let user = user.with_context(|| format!("cannot look up the user {name}"))?;
    Ok(user.ok_or(UsageError(
        "--user: there is no user of this name or number",
    ))?)
}

/// The user who called sudo, if one did who is not root. Where that cannot be found out, the command must not run
/// as root by mistake.
fn invoker() -> Result<Option<User>> {
    let Some(uid) = env::var_os("SUDO_UID") else {
        return Ok(None);
    };
    let number = uid.to_str().and_then(|uid| uid.parse().ok());
    let user = match number.map(|uid| User::from_uid(Uid::from_raw(uid))) {
        Some(Ok(user)) => user,
        Some(Err(err)) => return Err(err).context("cannot look up the user who called sudo"),
        None => None,
    };
    let user = user.with_context(|| {
        format!(
            "no user has the number {} of who called sudo (SUDO_UID): choose one with --user, or root with --as-root",
            uid.display()
        )
    })?;
    Ok((!user.uid.is_root()).then_some(user))
}

/// The environment of kamap as `user` expects it.
fn own_environment(user: &User) -> Vec<(OsString, OsString)> {
    let of_user = [
        ("HOME", user.dir.as_os_str()),
        ("USER", OsStr::new(&user.name)),
        ("LOGNAME", OsStr::new(&user.name)),
        ("SHELL", user.shell.as_os_str()),
    ];
    let is_kept = |name: &OsStr| {
        !name.as_bytes().starts_with(b"SUDO_") && !of_user.iter().any(|(other, _)| *other == name)
    };
    let mut environment: Vec<_> = env::vars_os().filter(|(name, _)| is_kept(name)).collect();
    environment.extend(of_user.map(|(name, value)| (name.into(), value.to_owned())));
    environment
}

/// The environment in which sudo was called: the kernel still shows it of the process of sudo that waits for
/// kamap.
fn environment_of_sudo() -> Option<Vec<(OsString, OsString)>> {
    let mut pid = parent_id();
    for _ in 0..MOST_ANCESTORS {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        if exe.file_name() == Some(OsStr::new("sudo")) {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            return Some(parse(&environment)).filter(|environment| !environment.is_empty());
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        pid = parent.trim().parse().ok()?;
    }
    None
}

fn parse(environment: &[u8]) -> Vec<(OsString, OsString)> {
    let variables = environment.split(|&byte| byte == 0);
    let pair = |variable: &[u8]| {
        let at = variable.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&variable[..at], &variable[at + 1..]);
        let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        (!name.is_empty()).then(|| (os(name), os(value)))
    };
    variables.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_what_has_a_name_and_a_value() {
        let parsed = parse(b"A=1\0B=\0=C\0nothing\0D=x=y\0\xff=\xfe\0");
        let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let expected = [("A", &b"1"[..]), ("B", b""), ("D", b"x=y")];
        let mut expected: Vec<_> = expected
            .map(|(name, value)| (name.into(), os(value)))
            .into();
        expected.push((os(b"\xff"), os(b"\xfe")));
        assert_eq!(parsed, expected);
    }
}
