//! Links and headings of a Markdown file. Not a Markdown parser: it knows fences, inline code,
//! inline links and link definitions, which is what the documents here use.

/// Where a link leads, and its line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) target: String,
    pub(super) line: usize,
}

pub(super) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, content) in prose(text) {
        let content = without_inline_code(content);
        let mut rest = content.as_str();
        while let Some((_, behind)) = rest.split_once("](") {
            let (target, after) = behind.split_once(')').unwrap_or((behind, ""));
            rest = after;
            links.push(Link {
                target: bare(target),
                line,
            });
        }
        // `[name]: target`
        if let Some((name, target)) = content.split_once("]: ")
            && name.starts_with('[')
        {
            links.push(Link {
                target: bare(target),
                line,
            });
        }
    }
    links
}

/// A target without its title and its angle brackets.
fn bare(target: &str) -> String {
    let target = target.split_whitespace().next().unwrap_or("");
    target
        .trim_start_matches('<')
        .trim_end_matches('>')
        .to_owned()
}

/// The anchors of the headings, as code forges make them: small letters, spaces as hyphens, no
/// punctuation; a second heading of the same text gets `-1`.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if level == 0 || level > 6 || !title.starts_with(' ') {
            continue;
        }
        let anchor = slug(title);
        let same = |known: &&String| {
            let numbered = known.strip_prefix(&format!("{anchor}-"));
            **known == anchor || numbered.is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        let earlier = anchors.iter().filter(same).count();
        anchors.push(if earlier == 0 {
            anchor
        } else {
            format!("{anchor}-{earlier}")
        });
    }
    anchors
}

fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.trim().chars() {
        match c {
            ' ' => slug.push('-'),
            '-' | '_' => slug.push(c),
            c if c.is_alphanumeric() => slug.extend(c.to_lowercase()),
            _ => {}
        }
    }
    slug
}

/// The lines outside fenced code, numbered from 1.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    numbered.filter(move |(_, line)| {
        let start = line.trim_start();
        let marker = ["```", "~~~"]
            .into_iter()
            .find(|marker| start.starts_with(marker));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, None) => return true,
            _ => {}
        }
        false
    })
}

fn without_inline_code(line: &str) -> String {
    // Every second part stands between backticks, unless the last one is open.
    let parts: Vec<&str> = line.split('`').collect();
    let open = parts.len().is_multiple_of(2);
    let last = parts.len() - 1;
    let kept = parts.iter().enumerate();
    let kept = kept.filter(|(index, _)| index % 2 == 0 || (open && *index == last));
    kept.map(|(_, part)| *part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        links(text).into_iter().map(|link| link.target).collect()
    }

    #[test]
    fn links_of_each_form_are_found() {
        let text = "[a](b.md) and ![c](d.png \"title\"), [e](<f.md>)\n[g]: h.md\n";
        assert_eq!(targets(text), ["b.md", "d.png", "f.md", "h.md"]);
    }

    #[test]
    fn code_has_no_links() {
        assert_eq!(targets("`[a](b)` and a[i](c)\n"), ["c"]);
        assert_eq!(
            targets("```rust\n[a](b)\n```\n~~~\n[a](b)\n```\n~~~\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn anchors_are_made_as_code_forges_do() {
        let text = "# Group header (64 bytes)\n## `open`, then_read\n## Same\n## Same\n#no\n```\n# no\n```\n";
        assert_eq!(
            anchors(text),
            ["group-header-64-bytes", "open-then_read", "same", "same-1"]
        );
    }
}
