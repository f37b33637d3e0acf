//! `kamap top`: count what starts and ends, show it, again.

mod args;
mod groups;
mod screen;
mod table;

use std::cell::Cell;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kamap::{Clock, Item, Tracker};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::policy::errors::OutputError;
use crate::policy::signals::{self, Event, Signals};
use crate::policy::{exit, memory};
use crate::render::{Cells, Charset, Colors, Style, is_screen, json_line};

pub(crate) use args::Args;
use args::SortBy;
use groups::Counter;
use screen::Screen;
use table::Table;

/// Runs until enough tables have been shown or a signal ends it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let on_screen = !args.json && args.tables() != Some(1) && is_screen();
    let signals = Signals::new(on_screen).context("failed to handle signals")?;
    let mut tracker = args.tracker().start()?;
    let Some(mut events) = tracker.take_events() else {
        bail!("there are no events to count");
    };
    events.wake_on(&signals)?;
    let typing = Typing::new()?;
    events.wake_on(&typing)?;
    let mut output = Output::new(args, on_screen).map_err(OutputError)?;
    let mut counter = Counter::new(args.by);
    let mut tables_left = args.tables();
    let mut deadline = Instant::now() + args.interval;
    let mut table = read(&tracker, &mut counter, Clock::since_boot())?;
    let mut is_first = true;
    // The first one comes after the first interval.
    output.redraw(&table).map_err(OutputError)?;
    loop {
        typing.set(output.typing())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let mut count = |item| {
            if let Item::Event(event) = item {
                counter.add(&event);
            }
        };
        events.read(left, &mut count)?;
        let quit = match signals.wait_or(Instant::now(), output.typing()) {
            Event::Time => false,
            Event::Input => output.typed(&table).map_err(OutputError)?,
            Event::Quit => true,
            Event::Redraw => {
                output.redraw(&table).map_err(OutputError)?;
                continue;
            }
            Event::Stop => {
                output.suspend().map_err(OutputError)?;
                signals::stop().context("failed to stop")?;
                output.redraw(&table).map_err(OutputError)?;
                continue;
            }
        };
        if quit {
            // Nothing comes after what was counted, so the numbers of what was seen and lost agree with it.
            tracker.detach();
            events.drain(&mut count)?;
        } else if Instant::now() < deadline {
            continue;
        }
        // What is on the screen stays there, not what came in the moment since.
        if !quit || is_first || !on_screen {
            table = read(&tracker, &mut counter, table.until)?;
            output.table(&table).map_err(OutputError)?;
            is_first = false;
        }
        tables_left = tables_left.map(|left| left - 1);
        if quit || tables_left == Some(0) {
            output.end(&table).map_err(OutputError)?;
            return Ok(exit::of_losses(&table.losses, args.strict));
        }
        // Where the output is slower than the interval, tables do not pile up.
        deadline = Instant::now().max(deadline + args.interval);
    }
}

/// Ends the interval that began at `since`, since boot.
fn read(tracker: &Tracker, counter: &mut Counter, since: Duration) -> Result<Table> {
    let table = match counter.wants_table() {
        true => Some(tracker.table().snapshot()?),
        false => None,
    };
    Ok(Table {
        by: counter.by(),
        since,
        until: Clock::since_boot(),
        clock: tracker.clock(),
        groups: counter.end_interval(table.as_ref()),
        losses: tracker.losses()?,
        seen: tracker.seen()?,
    })
}

/// Where tables go.
enum Output {
    Json(BufWriter<StdoutLock<'static>>, SortBy),
    Text(Text),
    Screen(Screen<StdoutLock<'static>>),
}

/// One table after the other, for pipes and files.
struct Text {
    out: BufWriter<StdoutLock<'static>>,
    cells: Cells,
    colors: Colors,
    sort: SortBy,
    is_first: bool,
}

impl Output {
    fn new(args: &Args, on_screen: bool) -> io::Result<Self> {
        let colors = args.color.colors(io::stdout().is_terminal());
        let out = io::stdout().lock();
        if args.json {
            return Ok(Self::Json(BufWriter::new(out), args.sort));
        }
        if on_screen {
            memory::set_on_screen();
            return Ok(Self::Screen(Screen::new(out, colors, args.sort)?));
        }
        Ok(Self::Text(Text {
            out: BufWriter::new(out),
            cells: Cells::new(Charset::of_output()),
            colors,
            sort: args.sort,
            is_first: true,
        }))
    }

    fn table(&mut self, table: &Table) -> io::Result<()> {
        match self {
            Self::Json(out, sort) => {
                json_line(out, &table.json(*sort))?;
                out.flush()
            }
            Self::Text(text) => text.table(table),
            Self::Screen(screen) => screen.draw(table),
        }
    }

    /// Shows the table again, where the screen has changed.
    fn redraw(&mut self, table: &Table) -> io::Result<()> {
        match self {
            Self::Screen(screen) => screen.draw(table),
            _ => Ok(()),
        }
    }

    /// Leaves the screen to others until something is drawn again.
    fn suspend(&mut self) -> io::Result<()> {
        match self {
            Self::Screen(screen) => screen.suspend(),
            _ => Ok(()),
        }
    }

    /// What is readable once somebody has typed, if anybody can.
    fn typing(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Screen(screen) => screen.typing(),
            _ => None,
        }
    }

    /// Does what somebody has typed, while `table` is shown; returns whether that is to end.
    fn typed(&mut self, table: &Table) -> io::Result<bool> {
        match self {
            Self::Screen(screen) => screen.typed(table),
            _ => Ok(false),
        }
    }

    /// Nothing follows the last table, `table`.
    fn end(&mut self, table: &Table) -> io::Result<()> {
        match self {
            Self::Screen(screen) => screen.end(table),
            _ => Ok(()),
        }
    }
}

impl Text {
    fn table(&mut self, table: &Table) -> io::Result<()> {
        if !self.is_first {
            writeln!(self.out)?;
        }
        self.is_first = false;
        for (at, line) in table.lines(&self.cells, self.sort).iter().enumerate() {
            let style = match at {
                0 => Style::Heading,
                _ => Style::Plain,
            };
            writeln!(self.out, "{}", self.colors.paint(style, line))?;
        }
        let footer = table.footer();
        let footer = self.colors.paint(table.footer_style(), &footer);
        writeln!(self.out, "{footer}")?;
        self.out.flush()
    }
}

/// Readable once somebody has typed on standard input. It leaves standard input out when nobody can type any
/// more: that is always readable then, and no wait would last.
struct Typing {
    epoll: Epoll,
    is_on: Cell<bool>,
}

impl Typing {
    fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            is_on: Cell::new(false),
        })
    }

    fn set(&self, typing: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if typing.is_some() == self.is_on.replace(typing.is_some()) {
            return Ok(());
        }
        match typing {
            Some(typing) => self
                .epoll
                .add(typing, EpollEvent::new(EpollFlags::EPOLLIN, 0))?,
            None => self.epoll.delete(io::stdin())?,
        }
        Ok(())
    }
}

impl AsFd for Typing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
