//! How a table looks: its columns, and the order of its rows.

use crate::args::ColorArgs;
use crate::render::Column;

/// How a table looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// The columns that were asked for, if any were.
    pub(super) columns: Vec<Column>,
    /// Whether children stand below their parents.
    pub(super) tree: bool,
    /// What rows are sorted by; the oldest come first where nothing else decides.
    pub(super) sort: Vec<SortKey>,
    /// Whether nothing is shortened.
    pub(super) wide: bool,
    /// Only rows with this text, in any case.
    pub(super) filter: String,
}

/// The options that say how a table looks.
#[derive(Debug, clap::Args)]
pub(crate) struct LookArgs {
    /// Show children below their parents, and the totals of each subtree
    #[arg(long)]
    tree: bool,

    /// Show these columns (separated by commas), see below
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', value_parser = Column::parse)]
    columns: Vec<Column>,

    /// Sort by these columns (separated by commas), with a `-` before those that are to descend
    ///
    /// In a tree, children of the same parent are sorted. Processes without a value come last.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', allow_hyphen_values = true, value_parser = SortKey::parse)]
    sort: Vec<SortKey>,

    /// Show more columns, and do not shorten lines to the width of the terminal
    ///
    /// Where the table is redrawn in place, the arrow keys move it sideways.
    #[arg(short, long)]
    wide: bool,

    #[command(flatten)]
    pub(super) color: ColorArgs,
}

impl LookArgs {
    /// The look that was asked for.
    pub(crate) fn look(&self) -> Look {
        Look {
            columns: self.columns.clone(),
            tree: self.tree,
            sort: self.sort.clone(),
            wide: self.wide,
            filter: String::new(),
        }
    }
}

impl Look {
    /// The columns to show.
    pub(super) fn columns(&self) -> Vec<Column> {
        if !self.columns.is_empty() {
            return self.columns.clone();
        }
        let first: &[&str] = match self.tree {
            true => &["pid", "user", "age", "desc", "tree_execs"],
            false => &["pid", "ppid", "user", "age", "execs"],
        };
        let more: &[&str] = match self.wide {
            true => &["comm", "unit", "container"],
            false => &[],
        };
        let names = first.iter().chain(more).chain(&["args"]);
        // All of them are columns, as a test shows.
        names.flat_map(|name| Column::parse(name)).collect()
    }

    /// Whether the newest rows are those that matter most.
    pub(super) fn ends_with_newest(&self) -> bool {
        !self.tree && self.sort.is_empty()
    }
}

/// A column that rows are sorted by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SortKey {
    pub(super) column: Column,
    pub(super) descending: bool,
}

impl SortKey {
    fn parse(text: &str) -> Result<Self, String> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let column = Column::parse(name)?;
        Ok(Self { column, descending })
    }

    /// As the option has it.
    pub(super) fn shown(&self) -> String {
        let minus = if self.descending { "-" } else { "" };
        format!("{minus}{}", self.column.heading().to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(look: &Look) -> String {
        let headings: Vec<_> = look.columns().into_iter().map(Column::heading).collect();
        headings.join(" ")
    }

    #[test]
    fn each_look_has_its_columns() {
        let mut look = Look::default();
        assert_eq!(headings(&look), "PID PPID USER AGE EXECS COMMAND");
        look.wide = true;
        assert_eq!(
            headings(&look),
            "PID PPID USER AGE EXECS COMM UNIT CONTAINER COMMAND"
        );
        look.tree = true;
        assert_eq!(
            headings(&look),
            "PID USER AGE DESC TREE_EXECS COMM UNIT CONTAINER COMMAND"
        );
        look.columns = vec![Column::parse("unit").expect("there is one")];
        assert_eq!(headings(&look), "UNIT");
    }

    #[test]
    fn a_minus_lets_a_sort_key_descend() {
        for (text, shown) in [("age", "age"), ("+age", "age"), ("-args", "-command")] {
            let key = SortKey::parse(text).expect("it is one");
            assert_eq!(key.shown(), shown);
        }
        assert!(SortKey::parse("--age").is_err());
    }
}
