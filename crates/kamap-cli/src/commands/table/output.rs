//! Where tables go.

use std::io;
use std::os::fd::BorrowedFd;

use super::view::View;

/// What somebody wants who has typed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing that is not done already.
    Nothing,
    /// Another selection of processes, so that the table is to be read.
    Table,
    /// The end.
    Quit,
}

/// Where tables go.
pub(crate) trait Output {
    /// Shows the next table.
    fn table(&mut self, view: &View) -> io::Result<()>;

    /// Shows the same table again, where the screen has changed.
    fn redraw(&mut self, _view: &View) -> io::Result<()> {
        Ok(())
    }

    /// What is readable once somebody has typed, if anybody can.
    fn typing(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Does what somebody has typed, while `view` is shown.
    fn typed(&mut self, _view: &View) -> io::Result<Wish> {
        Ok(Wish::Nothing)
    }

    /// Whether all processes are to be shown, if somebody has typed that.
    fn shows_all(&self) -> Option<bool> {
        None
    }

    /// Leaves the screen to others until the next call.
    fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing follows the last table, `view`.
    fn end(&mut self, _view: &View) -> io::Result<()> {
        Ok(())
    }

    /// A signal came, so nothing follows: shows what there is now.
    fn summary(&mut self, view: &View) -> io::Result<()>;
}
