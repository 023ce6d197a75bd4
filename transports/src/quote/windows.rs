//! Command lines for Windows, where a program gets one line and takes it apart by itself.
//!
//! ```text
//!   argv --windows_command_line--> program, arguments    (nearly every program: CommandLineToArgvW's rules)
//!        --cmd_command_line------> the line for `cmd /c` (the same, with cmd's own signs made harmless)
//! ```
//!
//! - Happy path: what the program finds is `argv`, whatever characters it holds.
//! - Failures: an empty `argv`, a NUL, a program whose name holds a quotation mark (its word knows no escape), a line
//!   longer than Windows takes; for `cmd` also a line break, at which it stops reading, and a program whose name has to be
//!   quoted and holds a percent sign. All are [`Error::Invalid`], before anything is sent.

use crate::{Error, Result};

/// The most UTF-16 units of a command line that a remote shell takes.
pub const WINDOWS_LINE_MAX_UNITS: usize = 8191;

/// The program and its arguments as the two parts of a command line, each quoted.
pub fn windows_command_line(argv: &[String]) -> Result<(String, String)> {
    super::check_words(argv)?;
    let program = &argv[0];
    if program.contains('"') {
        return Err(Error::Invalid(format!(
            "the program {program:?} holds a quotation mark, which Windows has in no name"
        )));
    }
    let program = if program.contains(is_space) { format!("\"{program}\"") } else { program.clone() };
    let mut arguments = String::new();
    for argument in &argv[1..] {
        if !arguments.is_empty() {
            arguments.push(' ');
        }
        push_quoted(&mut arguments, argument);
    }
    bounded(&program, &arguments)?;
    Ok((program, arguments))
}

/// The whole line for `cmd /c`, which takes it apart before the program does. The program may be one of cmd's own words.
pub fn cmd_command_line(argv: &[String]) -> Result<String> {
    let (program, arguments) = windows_command_line(argv)?;
    if program.contains(is_line_break) || arguments.contains(is_line_break) {
        return Err(Error::Invalid(
            "cmd stops reading at a line break: pass the text on standard input".into(),
        ));
    }
    let mut line = cmd_program(&argv[0])?;
    if !arguments.is_empty() {
        line.push(' ');
        push_escaped(&mut line, &arguments);
    }
    bounded("", &line)?;
    Ok(line)
}

/// The program, for cmd to find: it takes a name for ended at a space and a few other signs, escaped or not, unless that is
/// quoted; its own words must not be. A line that begins with a quotation mark may lose that, hence the sign before it,
/// which says that the line is not to be shown, as it never is.
fn cmd_program(program: &str) -> Result<String> {
    let ends_name = |c| is_space(c) || matches!(c, ',' | ';' | '=');
    if !program.contains(ends_name) {
        let mut name = String::with_capacity(program.len());
        push_escaped(&mut name, program);
        return Ok(name);
    }
    if program.contains('%') {
        return Err(Error::Invalid(format!(
            "cmd takes a percent sign within quotation marks for the name of a variable: run {program:?} without cmd, or by \
             another name"
        )));
    }
    Ok(format!("@\"{program}\""))
}

/// Appends words as cmd hands them on unchanged.
fn push_escaped(line: &mut String, words: &str) {
    let mut in_name = false;
    for c in words.chars() {
        // Quotation marks too, so that it never takes anything for quoted, where a caret would be kept. A percent sign
        // is taken before carets are: one at the beginning of the name makes it that of a variable which nobody has. At
        // its end it might belong to what is to be done with the variable (`%NAME:a=b%`).
        if in_name || matches!(c, '(' | ')' | '%' | '!' | '^' | '"' | '<' | '>' | '&' | '|') {
            line.push('^');
        }
        line.push(c);
        in_name = c == '%';
    }
}

fn bounded(program: &str, arguments: &str) -> Result<()> {
    let units = program.encode_utf16().count() + 1 + arguments.encode_utf16().count();
    if units > WINDOWS_LINE_MAX_UNITS {
        return Err(Error::Invalid(format!(
            "the command line takes {units} characters where Windows takes {WINDOWS_LINE_MAX_UNITS}: pass long input on \
             standard input instead"
        )));
    }
    Ok(())
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

/// Appends one word. Backslashes count only before a quotation mark, where each stands twice.
fn push_quoted(line: &mut String, word: &str) {
    if !word.is_empty() && !word.contains(|c| is_space(c) || c == '"') {
        line.push_str(word);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for c in word.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                line.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        line.push(c);
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
}

#[cfg(test)]
mod tests;
