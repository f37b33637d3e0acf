//! Drawing a tree.

use super::charset::Charset;

/// The lines that lead to a process of a tree: how many ancestors it has there, and whether it is the last
/// of its siblings. `lasts` has the latter for each of its ancestors.
pub(crate) fn tree_lines(
    charset: Charset,
    lasts: &mut Vec<bool>,
    depth: usize,
    last: bool,
) -> String {
    let [past, child, last_child] = match charset {
        Charset::Ascii => ["|  ", "|- ", "`- "],
        Charset::Utf8 => ["│  ", "├─ ", "└─ "],
    };
    lasts.truncate(depth);
    let mut lines = String::new();
    if depth > 0 {
        let above = lasts.iter().skip(1);
        lines.extend(above.map(|&is_last| if is_last { "   " } else { past }));
        lines += if last { last_child } else { child };
    }
    lasts.push(last);
    lines
}
