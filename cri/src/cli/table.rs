//! Aligned columns of text.

/// Rows under a head, each column as wide as its widest cell; no blanks at the ends of lines.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(width);
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            widths[column] = widths[column].max(width(cell));
        }
    }
    let mut text = String::new();
    let head = head.map(str::to_owned);
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(widths) {
            line.push_str(&printable(cell));
            line.extend(std::iter::repeat_n(' ', wide - width(cell) + 3));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// What comes from elsewhere must not steer the terminal.
fn printable(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows = [["a".into(), "böse".into()], ["longer".into(), String::new()]];
        assert_eq!(table(["ID", "NAME"], &rows), "ID       NAME\na        böse\nlonger\n");
    }

    #[test]
    fn an_empty_table_is_its_head() {
        assert_eq!(table(["A", "B"], &[]), "A   B\n");
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(table(["A"], &[["\u{1b}[2J".into()]]), "A\n\u{fffd}[2J\n");
    }
}
