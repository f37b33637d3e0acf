//! The command line as a whole: the commands, and the options of `kamap` without a command.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::commands::{Command, table};
use crate::policy::stdout;

/// Show the live processes of this machine, exactly, from inside the kernel
#[derive(Debug, Parser)]
#[command(
    name = "kamap",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 90,
    long_about = "\
Show the live processes of this machine, exactly, from inside the kernel.

BPF programs on fork, exec and exit keep a table of all processes in a kernel map; kamap \
prints it again and again until Ctrl-C. Without options it shows the processes that exec'd since \
kamap started, and those that they forked: a process appears when it execs and disappears when its \
last thread has ended. A slow or stopped kamap misses nothing, because the kernel keeps the table.",
    after_help = "Needs root, or CAP_BPF and CAP_PERFMON, and Linux 5.15 or newer with BTF. \
See --help for more.",
    after_long_help = "\
Columns:
  pid, ppid  the process, and its parent
  user, uid, gid
             effective user, by name and by number, and effective group
  age, start how long ago the process started, and when
  execs      how often it exec'd while kamap watched
  args       COMMAND: the arguments, quoted where a shell needs it; `…` where they were truncated; \
[in brackets] a kernel thread; (in parentheses) the executable of a process without arguments; \
<defunct> a process that has ended and that its parent has not waited for
  comm       the name that the kernel has for it
  exe, file  the executable, and the file that was executed, as the caller named it
  origin     `exec`: it exec'd while kamap watched; `fork`: it only started; `seed`: it was alive before
  cgroup     the path of its cgroup in the v2 hierarchy
  unit, uunit
             the systemd unit, and the unit of a user's own systemd
  container, runtime, pod
             the ID of the container, what runs it, and the UID of the Kubernetes pod
  vpid, pid_ns
             its PID in its own PID namespace, and the number of that namespace
  desc, tree_execs
             how many live processes descend from it; its execs and theirs

The other fields of a row in docs/json.md are columns as well. A column without a value is empty.

Below the table:
  live       processes in the table, and how many of them exec'd since kamap started, or were \
forked by one that did
  seen       forks, execs and exits since kamap started
  lost       what kamap could not record, by cause; while it is 0, the table is exact
  args cut   how many rows above have truncated arguments, if any

On a terminal the table is redrawn in place, and lines are shortened to its width. Keys: q ends, \
t tree, a all, s sort, / filter, arrows and PgUp scroll, ? help. What has just come is green, what has \
just gone red; without colours `(new)` and `(gone)` say so. Elsewhere one table follows the other. Control characters in names and arguments are escaped. Where the \
locale (LC_ALL, LC_CTYPE or LANG) is not UTF-8, all that is not ASCII is escaped too.

JSON:
  One object per line, and a last one after Ctrl-C:
  {\"v\":1,\"type\":\"table\",\"time\":…,\"processes\":[…],\"losses\":{…},\"seen\":{…}}
  Times are RFC 3339 with nanoseconds, as the kernel took them. docs/json.md describes all fields.

Needs:
  Root, or CAP_BPF and CAP_PERFMON, in the initial PID namespace. Linux 5.15 or newer with BTF \
(CONFIG_DEBUG_INFO_BTF).

Exit status:
  0  success, also after Ctrl-C, SIGTERM, or when the output was closed
  1  failure: one line on standard error says what is wrong and what to do. `kamap verify` also: \
the table was not exact
  2  wrong usage
  3  something was lost, and --strict was given
  `kamap run` exits with the status of its command. If that is 0, it exits with 3 as the others do.

Examples:
  kamap                             what execs from now on
  kamap --all --once                every live process, once
  kamap --all --tree                who descends from whom, and how large each subtree is
  kamap --all --once --columns pid,unit,container,args --sort unit
  kamap --unit nginx --all          all processes of a service
  kamap --user www-data --interval 200ms
  kamap --all --once --json | jq '.processes[] | select(.execs > 1)'
  kamap events --failed             each process that fails
  kamap top --by parent             who starts processes, and how often
  kamap run -- make -j2             what a build executes, and how long each process takes
  kamap verify --interval 1s        compare with the kernel's list, every second"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    table: table::Args,
}

impl Cli {
    /// Runs the command that was asked for to its end.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        match &self.command {
            None => {
                stdout::check()?;
                table::run(&self.table)
            }
            Some(command) => command.run(Self::command),
        }
    }

    /// Whether an error is to be printed with its whole log.
    pub(crate) fn verbose(&self) -> bool {
        match &self.command {
            None => self.table.common.verbose,
            Some(command) => command.verbose(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
