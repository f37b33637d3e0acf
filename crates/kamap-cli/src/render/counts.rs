//! What was seen and what was lost.

use kamap::{Losses, Seen};

/// What was seen and what was lost, and how many of the lines above have truncated arguments.
pub(crate) fn counted(seen: &Seen, lost: &Losses, args_cut: usize) -> String {
    let (fork, exec, exit) = (seen.fork, seen.exec, seen.exit);
    let lost = losses(lost, args_cut);
    format!("seen {fork} forks, {exec} execs, {exit} exited  lost {lost}")
}

/// What tells people that somebody else has attached what they see.
pub(crate) fn attached(is_attached: bool) -> &'static str {
    if is_attached { "  attached" } else { "" }
}

/// What was lost, by cause, with the cure where there is one, and how many of the lines above have
/// truncated arguments.
pub(crate) fn losses(losses: &Losses, args_cut: usize) -> String {
    let mut causes = Vec::new();
    if losses.table_full > 0 {
        let mut cause = format!("{} found the table full", losses.table_full);
        if let Some(pid) = losses.first_refused_pid {
            cause += &format!(", first PID {pid}");
        }
        causes.push(cause + " (use a larger --max-entries)");
    }
    if losses.ring_full > 0 {
        let count = losses.ring_full;
        causes.push(format!(
            "{count} events found the ring full (use a larger --ring-size)"
        ));
    }
    if losses.missed_runs > 0 {
        causes.push(format!("{} missed runs", losses.missed_runs));
    }
    let mut text = losses.total().to_string();
    if !causes.is_empty() {
        text += &format!(": {}", causes.join(", "));
    }
    if args_cut > 0 {
        text += &format!("  args cut {args_cut}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_name_their_cause() {
        let mut lost = Losses::default();
        assert_eq!(losses(&lost, 0), "0");
        assert_eq!(losses(&lost, 3), "0  args cut 3");
        lost.missed_runs = 2;
        assert_eq!(losses(&lost, 3), "2: 2 missed runs  args cut 3");
        (lost.table_full, lost.first_refused_pid) = (84, Some(4711));
        assert_eq!(
            losses(&lost, 3),
            "86: 84 found the table full, first PID 4711 (use a larger --max-entries), \
             2 missed runs  args cut 3"
        );
    }
}
