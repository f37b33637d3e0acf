//! From the kernel's time to the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Converts times since boot, as the kernel takes them, to the time of day.
///
/// The offset between the two is measured once, when the tracker starts: the
/// same process has the same start time in each table, even if the clock is
/// set meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: SystemTime,
}

impl Clock {
    pub(crate) fn measure() -> Self {
        // The pair of readings that took the least time is the closest.
        let (_, realtime, boottime) = (0..8)
            .map(|_| {
                let before = now(libc::CLOCK_BOOTTIME);
                let realtime = now(libc::CLOCK_REALTIME);
                let after = now(libc::CLOCK_BOOTTIME);
                let took = after.saturating_sub(before);
                (took, realtime, before + took / 2)
            })
            .min()
            .unwrap_or_default();
        Self {
            boot: UNIX_EPOCH + realtime.saturating_sub(boottime),
        }
    }

    /// The time of day at `since_boot`.
    pub fn system_time(&self, since_boot: Duration) -> SystemTime {
        self.boot + since_boot
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
