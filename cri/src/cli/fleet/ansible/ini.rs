//! The INI form: sections of hosts, of child groups (`[web:children]`) and of variables (`[web:vars]`).

use super::{Groups, Variables};

/// The most hosts that a range may stand for.
const MOST: usize = 10_000;

/// What the lines of a section are.
#[derive(Clone, Copy)]
enum Kind {
    Hosts,
    Children,
    Variables,
}

pub(super) fn read(text: &str) -> Result<Groups, String> {
    let mut groups = Groups::default();
    let (mut section, mut kind) = ("ungrouped".to_owned(), Kind::Hosts);
    for (number, line) in text.lines().enumerate() {
        let at = |why: String| format!("{}: {why}", number + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let (head, _) = head
                .split_once(']')
                .ok_or_else(|| at(format!("section {line:?} has no end; write [NAME]")))?;
            let (name, what) = head.split_once(':').unwrap_or((head, "hosts"));
            kind = match what {
                "hosts" => Kind::Hosts,
                "children" => Kind::Children,
                "vars" => Kind::Variables,
                other => {
                    return Err(at(format!("section [{name}:{other}] is none; write :vars or :children")));
                }
            };
            name.trim().clone_into(&mut section);
            groups.group(&section);
            continue;
        }
        match kind {
            Kind::Children => {
                let child = words(line).map_err(at)?.swap_remove(0);
                groups.group(&child);
                groups.group(&section).children.insert(child);
            }
            Kind::Variables => {
                let (name, value) =
                    line.split_once('=').ok_or_else(|| at(format!("{line:?} is not NAME=VALUE")))?;
                groups.group(&section).variables.insert(name.trim().to_owned(), literal(value.trim()));
            }
            Kind::Hosts => {
                let words = words(line).map_err(at)?;
                let mut variables = Variables::new();
                for word in &words[1..] {
                    let (name, value) =
                        word.split_once('=').ok_or_else(|| at(format!("{word:?} is not NAME=VALUE")))?;
                    variables.insert(name.to_owned(), value.to_owned());
                }
                for name in expand(&words[0]).map_err(at)? {
                    // A port behind a name, where it is no address of IPv6.
                    let (name, port) = match name.rsplit_once(':') {
                        Some((host, port)) if !host.contains(':') => (host.to_owned(), Some(port.to_owned())),
                        _ => (name, None),
                    };
                    let known = groups.host(&section, &name);
                    known.extend(port.map(|port| ("ansible_port".to_owned(), port)));
                    known.extend(variables.clone());
                }
            }
        }
    }
    Ok(groups)
}

/// The words of a line, as a shell takes them apart, up to a comment. There is at least one.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some('"'), '\\') => {
                let next = chars.next();
                let word = word.get_or_insert_default();
                if !matches!(next, Some('"' | '\\')) {
                    word.push('\\');
                }
                word.extend(next);
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("{line:?} has a quote without an end"));
    }
    words.extend(word);
    if words.is_empty() {
        words.push(String::new());
    }
    Ok(words)
}

/// The value of a line of variables, which no shell takes apart: what is quoted, or a number, may have a comment behind it as a literal
/// of Python may; anything else is meant as it stands.
fn literal(text: &str) -> String {
    quoted(text)
        .or_else(|| {
            let number = text.split_once('#')?.0.trim_end();
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| number.to_owned())
        })
        .unwrap_or_else(|| text.to_owned())
}

/// What stands in the quotes of a text that is quoted.
fn quoted(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let open = chars.next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut inside = String::new();
    loop {
        match chars.next()? {
            c if c == open => break,
            '\\' => {
                let next = chars.next()?;
                if !matches!(next, '\\' | '\'' | '"') {
                    inside.push('\\');
                }
                inside.push(next);
            }
            c => inside.push(c),
        }
    }
    let rest = chars.as_str().trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(inside)
}

/// The names that a pattern with ranges stands for: `web[01:10]`, `db-[a:c]`, `[1:9:2]`.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("the range in {pattern:?} is none; write [FIRST:LAST] of numbers or of letters");
    let Some((before, rest)) = pattern.split_once('[') else { return Ok(vec![pattern.to_owned()]) };
    let (range, after) = rest.split_once(']').ok_or_else(wrong)?;
    let parts: Vec<&str> = range.split(':').collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, 1),
        [first, last, step] => (first, last, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    let middles: Vec<String> = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from..=to)
            .step_by(step)
            .take(MOST)
            .map(|number| format!("{number:0width$}", width = first.len()))
            .collect(),
        _ => match (first.as_bytes(), last.as_bytes()) {
            ([from], [to]) if from.is_ascii_alphabetic() && to.is_ascii_alphabetic() => {
                (*from..=*to).step_by(step).map(|letter| char::from(letter).to_string()).collect()
            }
            _ => return Err(wrong()),
        },
    };
    let mut names = Vec::new();
    for rest in expand(after)? {
        names.extend(middles.iter().map(|middle| format!("{before}{middle}{rest}")));
        if names.len() > MOST {
            return Err(format!("{pattern:?} stands for more than {MOST} hosts"));
        }
    }
    Ok(names)
}
