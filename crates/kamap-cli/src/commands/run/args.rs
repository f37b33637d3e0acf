//! The arguments of `kamap run`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kamap::{Follower, Kinds, Pinned};

use crate::args::{ColorArgs, Common, StreamArgs};

/// Run a command and show all processes that it starts, directly or not
///
/// Prints the events of exactly these processes, on standard error or to --output. After the command
/// ended it prints all of them as a tree: how long each took, how it ended, how often it exec'd, and how
/// many processes descend from it; then the slowest ones, and those that failed.
///
/// The exit status is that of the command, or 128 and the number of the signal that killed it; 127 if
/// there is no such command, 126 if it cannot be run. If it is 0, kamap exits with 1 if the report could
/// not be written, or if kamap failed while it followed the command: then the report says that it is
/// incomplete. Processes that outlive the command are shown as running, unless --wait waits for them. Ctrl-C is left to the command;
/// SIGTERM and SIGHUP are passed on to it.
///
/// Under sudo the command runs as the user who called sudo: --as-root prevents that.
///
/// It starts a tracker of its own, even if one is attached (`kamap attach`): the events that are attached have one
/// reader, and what this one takes the next one does not get. With --dir it uses the events that are attached there,
/// if they are of fork, exec and exit; those that are there already are dropped, and those of other processes as they
/// come.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Columns of the tree:
  PID, DURATION, STATUS
            as in `kamap events`; `running` if the process has not ended, `unknown` and no duration \
if it has and its exit event was lost
  CPU       CPU time of all of its threads, without its children
  EXECS     how often it exec'd
  DESC      how many processes descend from it
  COMMAND   arguments of its last exec; a child that did not exec has its parent's

JSON:
  --json needs --output, because the command prints on standard error as well. The lines of \
`kamap events --json` (`seq` counts all forks, execs and exits, also those that --kind leaves out), \
then for each process {\"v\":1,\"type\":\"process\",\"depth\":…,…}, in the order of the tree, \
and last {\"v\":1,\"type\":\"run\",…}. docs/json.md describes all fields.

Examples:
  kamap run -- make -j2
  kamap run --quiet -o processes.txt -- ./configure
  kamap run --json -o events.json -- make
  kamap run -q --html build.html -- make    a report to look at in a browser, and to keep
  sudo kamap run --wait -- ./daemonizes     as the user who called sudo; until the daemon ends
  kamap run -q --trace build.json -- make   a timeline for https://ui.perfetto.dev or chrome://tracing")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) stream: StreamArgs,

    /// Do not print events, only the report at the end
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print to this file instead of standard error; `-` is standard output. The file is replaced once
    /// there is something to write, as are those of --trace and --html
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Write a timeline of the processes to this file, in the trace event format of Chrome and Perfetto;
    /// `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Write the report as a page of HTML to this file, with a timeline; `-` is standard output
    ///
    /// The page needs no other file and no network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Run the command as this user (name or number), with the user's groups; needs root
    ///
    /// HOME, USER, LOGNAME and SHELL are those of the user. Without this option, a command that is run by `sudo
    /// kamap run` runs as the user who called sudo.
    #[arg(short, long, value_name = "USER", conflicts_with = "as_root")]
    pub(super) user: Option<String>,

    /// Run the command as root even under sudo
    ///
    /// Without it, it runs as the user who called sudo (SUDO_UID), in the environment that the user called sudo in, as
    /// far as sudo still has it.
    #[arg(long)]
    pub(super) as_root: bool,

    /// Go on until all processes that the command has left behind have ended as well; Ctrl-C or SIGTERM ends that
    #[arg(short, long)]
    pub(super) wait: bool,

    /// With --dir: take the events that are attached over from the process that reads them
    #[arg(long, requires = "dir")]
    steal: bool,

    /// The command, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<OsString>,
}

impl Args {
    /// Where what follows the command is attached, if it is.
    pub(crate) fn attached(&self) -> Option<&Path> {
        let dir = &self.common.dir;
        dir.is_given().then(|| dir.path())
    }

    /// What follows the command: what is attached in the folder that was named, or a tracker of its own. The tree
    /// needs all forks, execs and exits.
    pub(crate) fn follower(&self) -> kamap::Result<Follower> {
        let kinds = self.stream.kinds() | Kinds::LIFE;
        if let Some(dir) = self.attached() {
            return Pinned::open(dir)?.follower(kinds, self.steal);
        }
        let builder = self.common.tracker().events(kinds);
        self.stream.apply(builder).follower()
    }
}
