//! The columns that show a process: every field of the library, and what only people read.

use kamap::{FieldType, ProcessField};

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
}

impl Column {
    /// The column with this name: `ps`'s name where it is not that of a field.
    fn named(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "command" => Some(Self::Command),
            "status" => Some(Self::Status),
            _ => {
                let field = ProcessField::named(name)?;
                // Times would need a clock: no table has asked for one yet.
                (field.r#type() != FieldType::Time).then_some(Self::Field(field))
            }
        }
    }

    /// The name, see [`named`](Self::named).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Field(field) => field.name(),
            Self::User => "user",
            Self::Command => "command",
            Self::Status => "status",
        }
    }

    /// The heading: the name in capitals, without the unit, of which each cell has its own.
    pub(crate) fn heading(self) -> String {
        let name = self.name();
        let name = name.strip_suffix("_ns").unwrap_or(name);
        name.strip_suffix("_bytes").unwrap_or(name).to_uppercase()
    }

    /// Whether it shows numbers, which stand below each other at their right ends.
    pub(crate) fn is_number(self) -> bool {
        match self {
            Self::Field(field) => {
                matches!(field.r#type(), FieldType::Number | FieldType::Span)
            }
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
    fn each_field_with_a_text_is_a_column() {
        for field in ProcessField::ALL {
            let column = Column::named(field.name());
            assert_eq!(
                column.is_none(),
                field.r#type() == FieldType::Time,
                "{field:?}"
            );
        }
        assert!(Column::named("no_such_column").is_none());
    }

    #[test]
    fn a_heading_has_no_unit() {
        let headings = columns(["pid", "age_ns", "max_rss_bytes", "user"]).map(Column::heading);
        assert_eq!(headings, ["PID", "AGE", "MAX_RSS", "USER"]);
    }
}
