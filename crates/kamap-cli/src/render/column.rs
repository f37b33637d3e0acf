//! The columns that show a process: every field of the library, and what only people read.

use kamap::{FieldGroup, FieldType, ProcessField};

/// A column of text, or a value of a timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// A field of a process.
    Field(&'static ProcessField),
    /// The name of the user with the field `uid`.
    User,
    /// The command line.
    Command,
    /// How the process ended.
    Status,
    /// How many live processes descend from it.
    Descendants,
    /// Its execs, and those of all that descend from it.
    TreeExecs,
}

/// The names of `--columns`: those of `ps` where it has them. The names of all other fields of a row
/// are accepted as well.
const NAMES: [&str; 23] = [
    "pid",
    "ppid",
    "user",
    "uid",
    "gid",
    "comm",
    "args",
    "exe",
    "file",
    "cgroup",
    "unit",
    "uunit",
    "container",
    "runtime",
    "pod",
    "start",
    "age",
    "execs",
    "origin",
    "desc",
    "tree_execs",
    "vpid",
    "pid_ns",
];

impl Column {
    /// The column of a table with this name, for people: an error names all of them.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let field = match name {
            "uunit" => "user_unit",
            "runtime" => "container_runtime",
            "pod" => "pod_uid",
            "start" => "start_time",
            "age" => "age_ns",
            "args" => "command",
            name => name,
        };
        let is_of_row = |column: &Self| match column {
            Self::Field(field) => field.group() != FieldGroup::Exit,
            Self::Status => false,
            _ => true,
        };
        Self::named(field)
            .filter(is_of_row)
            .ok_or_else(|| format!("there is no such column; there are {}", NAMES.join(", ")))
    }

    /// The column with this name: `ps`'s name where it is not that of a field.
    fn named(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "command" => Some(Self::Command),
            "status" => Some(Self::Status),
            "desc" => Some(Self::Descendants),
            "tree_execs" => Some(Self::TreeExecs),
            _ => ProcessField::named(name).map(Self::Field),
        }
    }

    /// The name, see [`named`](Self::named).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Field(field) => field.name(),
            Self::User => "user",
            Self::Command => "command",
            Self::Status => "status",
            Self::Descendants => "desc",
            Self::TreeExecs => "tree_execs",
        }
    }

    /// The heading: the name in capitals, without the unit, of which each cell has its own.
    pub(crate) fn heading(self) -> String {
        let name = match self.name() {
            "user_unit" => "uunit",
            "container_runtime" => "runtime",
            "pod_uid" => "pod",
            "start_time" => "start",
            name => name,
        };
        let name = name.strip_suffix("_ns").unwrap_or(name);
        name.strip_suffix("_bytes").unwrap_or(name).to_uppercase()
    }

    /// Whether it shows numbers, which stand below each other at their right ends.
    pub(crate) fn is_number(self) -> bool {
        match self {
            Self::Field(field) => {
                matches!(field.r#type(), FieldType::Number | FieldType::Span)
            }
            Self::Descendants | Self::TreeExecs => true,
            Self::User | Self::Command | Self::Status => false,
        }
    }
}

/// The columns with these names.
///
/// # Panics
///
/// If there is none of a name: the names are those of the source.
pub(crate) fn columns<const N: usize>(names: [&str; N]) -> [Column; N] {
    names.map(|name| Column::named(name).unwrap_or_else(|| panic!("there is no column {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_a_row_is_a_column_of_tables() {
        for field in ProcessField::ALL {
            assert!(Column::named(field.name()).is_some(), "{field:?}");
            let is_of_row = field.group() != FieldGroup::Exit;
            assert_eq!(Column::parse(field.name()).is_ok(), is_of_row, "{field:?}");
        }
        for name in NAMES {
            assert!(Column::parse(name).is_ok(), "{name}");
        }
        for name in ["no_such_column", "cwd", "status", ""] {
            let error = Column::parse(name).expect_err("there is none");
            assert!(error.contains("pid, ppid, user"), "{error}");
        }
    }

    #[test]
    fn a_heading_has_no_unit() {
        let headings = columns(["pid", "age_ns", "max_rss_bytes", "user"]).map(Column::heading);
        assert_eq!(headings, ["PID", "AGE", "MAX_RSS", "USER"]);
        let parsed = ["start", "uunit", "args"].map(|name| Column::parse(name).expect("there is"));
        assert_eq!(parsed.map(Column::heading), ["START", "UUNIT", "COMMAND"]);
    }
}
