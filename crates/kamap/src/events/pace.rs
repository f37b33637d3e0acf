//! How often a reader may be woken.

use std::time::{Duration, Instant};

/// What each event adds to the time for which programs do not wake the reader: up to 400 events a second it
/// is woken for each.
const PER_EVENT: Duration = Duration::from_micros(2500);

/// The longest that an event waits for a reader that has time.
const MOST: Duration = Duration::from_millis(25);

/// What a quiet reader has in hand: so many events wake it at once.
const BURST: Duration = Duration::from_millis(100);

/// Makes a reader sleep for a while where much happens: waking it costs a program as much as ten events.
#[derive(Debug)]
pub(super) struct Pace {
    busy_until: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { busy_until: now }
    }

    /// Notes that so many events were read.
    pub(super) fn saw(&mut self, events: u32, now: Instant) {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        // More would be cut below.
        let added = PER_EVENT * events.min(1000);
        self.busy_until = (self.busy_until.max(earliest) + added).min(now + MOST);
    }

    /// How long to sleep before programs may wake the reader.
    pub(super) fn nap(&self, now: Instant) -> Option<Duration> {
        let nap = self.busy_until.saturating_duration_since(now);
        (!nap.is_zero()).then_some(nap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_few_events_do_not_make_it_sleep() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        now += 1000 * MS;
        // What a quiet second has left in hand.
        for _ in 0..40 {
            assert_eq!(pace.nap(now), None);
            pace.saw(1, now);
        }
        pace.saw(1, now);
        assert_eq!(pace.nap(now), Some(PER_EVENT));
        // From then on as many as the time that goes by allows.
        for _ in 0..1000 {
            now += PER_EVENT;
            assert_eq!(pace.nap(now), None);
            pace.saw(1, now);
        }
    }

    #[test]
    fn many_events_make_it_sleep_but_never_for_long() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for events in [1_000, 10_000_000, 50] {
            pace.saw(events, now);
            assert_eq!(pace.nap(now), Some(MOST));
            now += MOST;
            assert_eq!(pace.nap(now), None);
        }
    }
}
