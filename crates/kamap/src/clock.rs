//! From the kernel's time to the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// Converts times since boot, as the kernel takes them, to the time of day.
///
/// The offset between the two changes only when somebody steps the clock: both are slowed down and sped
/// up alike. So it is measured again and again, and kept as long as nothing contradicts it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The offset, and what it is between.
    boot: Duration,
    earliest: Duration,
    latest: Duration,
}

impl Clock {
    /// The clock as it is set now. Those of one [`Tracker`](crate::Tracker) agree with each other.
    pub fn measure() -> Self {
        // The pair of readings that took the least time is the closest.
        let (_, realtime, before, after) = (0..8)
            .map(|_| {
                let before = now(libc::CLOCK_BOOTTIME);
                let realtime = now(libc::CLOCK_REALTIME);
                let after = now(libc::CLOCK_BOOTTIME);
                (after.saturating_sub(before), realtime, before, after)
            })
            .min()
            .unwrap_or_default();
        let earliest = realtime.saturating_sub(after);
        let latest = realtime.saturating_sub(before);
        Self {
            boot: earliest + latest.saturating_sub(earliest) / 2,
            earliest,
            latest,
        }
    }

    /// The clock by which the machine booted at `boot`: it converts times of an earlier boot, or of
    /// another machine. A time before 1970 counts as 1970.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use kamap::Clock;
    ///
    /// let boot = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(Clock::booted_at(boot).system_time(minute), boot + minute);
    /// ```
    pub fn booted_at(boot: SystemTime) -> Self {
        let boot = boot.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            boot,
            earliest: boot,
            latest: boot,
        }
    }

    /// The clock as it is set now: this one, unless it has been stepped.
    pub(crate) fn now(self) -> Self {
        let measured = Self::measure();
        let may_be_same = measured.earliest <= self.latest && self.earliest <= measured.latest;
        if may_be_same { self } else { measured }
    }

    /// The time of day at `since_boot`.
    pub fn system_time(&self, since_boot: Duration) -> SystemTime {
        UNIX_EPOCH + self.boot + since_boot
    }

    /// Names the boot of this machine since which times are: 36 characters, another one after each
    /// boot (random(4)). With PID and start time it identifies a process for good.
    ///
    /// # Errors
    ///
    /// [`Error::System`], where there is no `/proc`.
    pub fn boot_id() -> Result<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let id = id.map_err(|source| Error::System {
            action: "read /proc/sys/kernel/random/boot_id",
            source,
        })?;
        Ok(id.trim().to_owned())
    }

    /// The time since boot, suspend included (`CLOCK_BOOTTIME`), as rows have it.
    pub fn since_boot() -> Duration {
        now(libc::CLOCK_BOOTTIME)
    }
}

fn now(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing. The call cannot fail: both clocks
    // exist on every kernel since 2.6.39, and what they show is not negative.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_the_same_until_it_is_stepped() {
        let clock = Clock::measure();
        for _ in 0..1000 {
            assert_eq!(clock.now().boot, clock.boot);
        }
        let step = Duration::from_secs(3600);
        let stepped = Clock {
            boot: clock.boot + step,
            earliest: clock.earliest + step,
            latest: clock.latest + step,
        };
        let after = stepped.now().boot;
        assert!(
            (clock.earliest..=clock.latest).contains(&after)
                || after.abs_diff(clock.boot) < Duration::from_millis(1)
        );
    }
}
