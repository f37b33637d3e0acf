//! What a reader reads.

use crate::counts::Counts;
use crate::iterator::BpfIterator;
use crate::place::Place;
use crate::rows::Rows;
use crate::seed::Seed;

/// What to read, of one's own or pinned by somebody.
pub(crate) struct Sources {
    pub(crate) rows: Rows,
    pub(crate) tasks: BpfIterator,
    pub(crate) seed: Option<Seed>,
    pub(crate) counts: Counts,
    /// Where somebody has pinned it.
    pub(crate) place: Option<Place>,
}
