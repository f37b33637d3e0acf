//! Where tables go.

use std::io;

use super::view::View;

/// Where tables go.
pub(crate) trait Output {
    /// Shows the next table.
    fn table(&mut self, view: &View) -> io::Result<()>;

    /// Shows the same table again, where the screen has changed.
    fn redraw(&mut self, _view: &View) -> io::Result<()> {
        Ok(())
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
