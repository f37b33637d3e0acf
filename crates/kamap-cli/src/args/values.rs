//! Values of arguments, parsed.

use std::time::Duration;

/// A number without a unit is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let is_number = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let unit = if is_number { "s" } else { "" };
    humantime::parse_duration(&format!("{text}{unit}")).map_err(|err| err.to_string())
}

pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) || interval > Duration::from_secs(86_400) {
        return Err("must be 1ms to 1day".to_owned());
    }
    Ok(interval)
}

/// A number of bytes, with or without a unit: `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|err| err.to_string())
}

pub(crate) fn user(text: &str) -> Result<u32, String> {
    match (text.parse(), uzers::get_user_by_name(text)) {
        (_, Some(user)) => Ok(user.uid()),
        (Ok(uid), None) => Ok(uid),
        (Err(_), None) => Err("there is no user of this name".to_owned()),
    }
}

pub(crate) fn group(text: &str) -> Result<u32, String> {
    match (text.parse(), uzers::get_group_by_name(text)) {
        (_, Some(group)) => Ok(group.gid()),
        (Ok(gid), None) => Ok(gid),
        (Err(_), None) => Err("there is no group of this name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_names_or_numbers() {
        assert_eq!(user("root"), Ok(0));
        assert_eq!(user("4711"), Ok(4711));
        assert!(user("no such user").is_err());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("20 MB"), Ok(20_000_000));
        assert_eq!(bytes("4096"), Ok(4096));
        assert!(bytes("many").is_err());
    }

    #[test]
    fn a_duration_without_a_unit_is_seconds() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("1m 30s"), duration("90"));
        for wrong in [
            "",
            ".",
            "1.2.3",
            "-1",
            "5 6",
            "1m 30",
            "99999999999999999999",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn intervals_are_neither_too_short_nor_too_long() {
        assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(interval("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(interval("0s").is_err());
        assert!(interval("999us").is_err());
        assert_eq!(interval("5"), Ok(Duration::from_secs(5)));
        assert!(interval("0.0001").is_err());
        assert!(interval("86401").is_err());
        assert_eq!(interval("24h"), Ok(Duration::from_secs(86_400)));
        assert!(interval("500000000000y").is_err());
    }
}
