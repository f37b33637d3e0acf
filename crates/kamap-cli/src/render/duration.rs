//! How long something took, for people.

use std::time::Duration;

const MICROSECOND: u128 = 1_000;
const MILLISECOND: u128 = 1_000 * MICROSECOND;
const SECOND: u128 = 1_000 * MILLISECOND;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;

/// How durations below a limit are shown: as a number of steps, the last of which has
/// `parts` steps for each of the unit before it.
struct Form {
    below: u128,
    step: u128,
    parts: u128,
    middle: &'static str,
    digits: usize,
    end: &'static str,
}

const fn form(
    below: u128,
    step: u128,
    (parts, middle, digits, end): (u128, &'static str, usize, &'static str),
) -> Form {
    Form {
        below,
        step,
        parts,
        middle,
        digits,
        end,
    }
}

/// The smallest first.
const FORMS: [Form; 12] = [
    form(MICROSECOND, 1, (1, "", 0, "ns")),
    form(10 * MICROSECOND, 10, (100, ".", 2, "us")),
    form(100 * MICROSECOND, 100, (10, ".", 1, "us")),
    form(MILLISECOND, MICROSECOND, (1_000, ".", 3, "ms")),
    form(10 * MILLISECOND, 10 * MICROSECOND, (100, ".", 2, "ms")),
    form(100 * MILLISECOND, 100 * MICROSECOND, (10, ".", 1, "ms")),
    form(SECOND, MILLISECOND, (1, "", 0, "ms")),
    form(10 * SECOND, 10 * MILLISECOND, (100, ".", 2, "s")),
    form(MINUTE, 100 * MILLISECOND, (10, ".", 1, "s")),
    form(HOUR, SECOND, (60, "m", 2, "s")),
    form(DAY, MINUTE, (60, "h", 2, "m")),
    form(u128::MAX, HOUR, (24, "d", 2, "h")),
];

/// A duration with three significant digits, or more from ten minutes on: `21.3us`, `0.213ms`, `350ms`,
/// `1.95s`, `2m05s`, `3h02m`, `1d03h`. It is rounded to the nearest, so that almost a minute is
/// `1m00s`.
pub(crate) fn duration(duration: Duration) -> String {
    let exact = duration.as_nanos();
    if exact == 0 {
        return "0s".to_owned();
    }
    let rounded = |form: &Form| (exact + form.step / 2) / form.step;
    let form = FORMS
        .iter()
        .find(|form| rounded(form) < form.below / form.step);
    let form = form.unwrap_or(&FORMS[FORMS.len() - 1]);
    let steps = rounded(form);
    let (whole, rest) = (steps / form.parts, steps % form.parts);
    let (middle, end, digits) = (form.middle, form.end, form.digits);
    if digits == 0 {
        format!("{whole}{end}")
    } else {
        format!("{whole}{middle}{rest:0digits$}{end}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::escape::tests::config;
    use super::*;

    #[rstest]
    #[case(0, "0s")]
    #[case(1, "1ns")]
    #[case(213, "213ns")]
    #[case(2_130, "2.13us")]
    #[case(21_300, "21.3us")]
    #[case(99_949, "99.9us")]
    #[case(99_950, "0.100ms")]
    #[case(213_499, "0.213ms")]
    #[case(999_499, "0.999ms")]
    #[case(999_500, "1.00ms")]
    #[case(1_950_000, "1.95ms")]
    #[case(9_995_000, "10.0ms")]
    #[case(21_300_000, "21.3ms")]
    #[case(350_000_000, "350ms")]
    #[case(999_499_999, "999ms")]
    #[case(999_500_000, "1.00s")]
    #[case(1_950_000_000, "1.95s")]
    #[case(21_300_000_000, "21.3s")]
    #[case(59_949_999_999, "59.9s")]
    #[case(59_950_000_000, "1m00s")]
    #[case(125_000_000_000, "2m05s")]
    #[case(3_599_499_999_999, "59m59s")]
    #[case(3_599_500_000_000, "1h00m")]
    #[case(10_920_000_000_000, "3h02m")]
    #[case(86_369_999_999_999, "23h59m")]
    #[case(86_370_000_000_000, "1d00h")]
    #[case(97_380_000_000_000, "1d03h")]
    #[case(34_560_000_000_000_000, "400d00h")]
    fn durations_have_three_digits(#[case] nanoseconds: u64, #[case] shown: &str) {
        assert_eq!(duration(Duration::from_nanos(nanoseconds)), shown);
    }

    #[test]
    fn the_longest_duration_is_shown() {
        assert!(duration(Duration::MAX).ends_with("h"));
    }

    /// The nanoseconds that `shown` stands for, and those of a step of its last digit.
    fn read(shown: &str) -> (u128, u128) {
        let at = shown.find(|c: char| c.is_ascii_alphabetic());
        let (number, unit) = shown.split_at(at.expect("it has a unit"));
        let (large, small) = match unit.trim_end_matches(|c: char| c != 's') {
            "ns" => (1, None),
            "us" => (MICROSECOND, None),
            "ms" => (MILLISECOND, None),
            "s" => (SECOND, None),
            _ if unit.starts_with('m') => (MINUTE, Some(SECOND)),
            _ if unit.starts_with('h') => (HOUR, Some(MINUTE)),
            _ => (DAY, Some(HOUR)),
        };
        let parse = |text: &str| text.parse::<u128>().expect("it is a number");
        if let Some(small) = small {
            let rest: String = unit.chars().filter(char::is_ascii_digit).collect();
            return (parse(number) * large + parse(&rest) * small, small);
        }
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let step = large / 10_u128.pow(decimals.len() as u32);
        let rest = if decimals.is_empty() {
            0
        } else {
            parse(decimals)
        };
        (parse(whole) * large + rest * step, step)
    }

    /// As many of each size.
    fn any_duration() -> impl Strategy<Value = Duration> {
        (1..=60_u32, any::<u64>())
            .prop_map(|(bits, number)| Duration::from_nanos(number >> (64 - bits)))
    }

    proptest! {
        #![proptest_config(config(4096))]

        #[test]
        fn durations_are_within_half_a_step_and_short(exact in any_duration()) {
            let shown = duration(exact);
            prop_assume!(!exact.is_zero());
            let (nanoseconds, step) = read(&shown);
            let off = nanoseconds.abs_diff(exact.as_nanos());
            prop_assert!(off <= step / 2, "{:?}: {}", exact, shown);
            let digits = shown.chars().filter(char::is_ascii_digit).count();
            prop_assert!(digits >= 3 || step == 1, "{}", shown);
            prop_assert!(exact > Duration::from_secs(999 * 86_400) || shown.len() <= 7, "{}", shown);
        }

        #[test]
        fn a_longer_duration_is_not_shown_as_a_shorter_one(one in any_duration(), other in any_duration()) {
            prop_assume!(!one.is_zero() && !other.is_zero());
            let (shorter, longer) = (one.min(other), one.max(other));
            prop_assert!(read(&duration(shorter)).0 <= read(&duration(longer)).0);
        }
    }
}
