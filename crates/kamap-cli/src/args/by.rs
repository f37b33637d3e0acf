//! What lives of processes are grouped by.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use kamap_history::GroupBy;

use crate::render::group_name;

/// Parses one of the groupings that a command offers, by its name.
pub(crate) fn group_by<const N: usize>(
    offered: [GroupBy; N],
) -> impl TypedValueParser<Value = GroupBy> {
    PossibleValuesParser::new(offered.map(group_name)).map(move |name| {
        let found = offered.into_iter().find(|&by| group_name(by) == name);
        found.expect("the parser accepts these names only")
    })
}
