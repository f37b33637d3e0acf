//! The units of systemd in the path of a cgroup.

/// Ends of the names of units that have cgroups.
const SUFFIXES: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// The longest name of a unit.
const MAX_LEN: usize = 255;

/// The unit of the system, and that of a user, in a path of these names.
pub(super) fn of<'a>(
    mut names: impl Iterator<Item = &'a str>,
) -> (Option<&'a str>, Option<&'a str>) {
    let unit = below_slices(&mut names);
    let user_unit = match unit {
        // Their processes are in units of the user's own systemd. Older ones had those below the session.
        Some(unit) if is_user_manager(unit) || is_session(unit) => below_slices(&mut names),
        _ => None,
    };
    (unit, user_unit)
}

/// The first name that is no slice, if it is that of a unit.
fn below_slices<'a>(names: &mut impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is_slice = |name: &str| name.ends_with(".slice") && is_unit(name);
    let name = names.map(unescape).find(|name| !is_slice(name))?;
    is_unit(name).then_some(name)
}

/// systemd puts `_` before a name that the kernel's own files could have, and before one that begins
/// with `_` itself.
fn unescape(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

fn is_unit(name: &str) -> bool {
    let may_have = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let has_type = |suffix: &&str| name.len() > suffix.len() && name.ends_with(suffix);
    name.len() <= MAX_LEN
        && SUFFIXES.iter().any(has_type)
        && !name.starts_with('@')
        && name.chars().all(may_have)
}

/// `user@UID.service`
fn is_user_manager(unit: &str) -> bool {
    let uid = unit
        .strip_prefix("user@")
        .and_then(|rest| rest.strip_suffix(".service"));
    uid.is_some_and(|uid| uid.parse::<u32>().is_ok())
}

/// `session-ID.scope`
fn is_session(unit: &str) -> bool {
    let id = unit
        .strip_prefix("session-")
        .and_then(|rest| rest.strip_suffix(".scope"));
    id.is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()))
}
