//! Checks the links between Markdown pages: relative targets must exist, and so must the headings that they
//! name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{pages, root};

/// Placeholder for code in backticks.
const CODE: &str = "`code`";

/// Returns a page without its fenced blocks, its comments and its code in backticks, because these contain no
/// links.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.push_str(line);
            out.push('\n');
        }
    }
    // Every second part is between backticks.
    let parts = out.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part } else { CODE }).collect()
}

/// Returns the targets of a page's links and pictures, in order.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut found = Vec::new();
    for (begin, end) in [("](", ")"), ("src=\"", "\"")] {
        for part in prose.split(begin).skip(1) {
            let target = part.split(end).next().unwrap_or_default().trim();
            found.push(target.split_whitespace().next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// Returns the anchor of a heading, in the form that GitHub and mdBook generate.
fn slug(heading: &str) -> String {
    let letters = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
        _ => None,
    });
    letters.collect::<String>().to_lowercase()
}

/// Returns the anchors of a page. Repeated headings are numbered.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let level = line.chars().take_while(|c| *c == '#').count();
        if fenced || !(1..=6).contains(&level) || !line[level..].starts_with(' ') {
            continue;
        }
        let slug = slug(&line[level..]);
        let seen = count.entry(slug.clone()).or_default();
        found.insert(if *seen == 0 { slug } else { format!("{slug}-{seen}") });
        *seen += 1;
    }
    found
}

/// Removes `.` and `..` from a path.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// Describes what is wrong with a link, if anything is wrong.
fn problem(page: &Path, target: &str) -> Option<String> {
    // A target in backticks is an item of the crate whose documentation includes the page. `cargo doc` checks
    // it.
    if target == CODE || ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { page.to_owned() } else { plain(&page.parent()?.join(file)) };
    if !path.exists() {
        return Some(format!("{}: `{target}`: no such file", page.display()));
    }
    let anchor = anchor.filter(|_| path.extension().is_some_and(|end| end == "md"))?;
    let text = fs::read_to_string(&path).unwrap();
    (!anchors(&text).contains(anchor)).then(|| format!("{}: `{target}`: no such heading", page.display()))
}

fn problems(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for page in pages(folder) {
        let text = fs::read_to_string(&page).unwrap();
        found.extend(targets(&text).iter().filter_map(|target| problem(&page, target)));
    }
    found
}

#[test]
fn links_of_all_pages_lead_to_files_and_headings() {
    let links: usize =
        pages(root()).iter().map(|page| targets(&fs::read_to_string(page).unwrap()).len()).sum();
    assert!(links > 100, "only {links} links were found");
    assert_eq!(problems(root()), [""; 0]);
}

#[test]
fn summary_lists_every_page_of_the_guide_once() {
    let source = root().join("docs/guide/src");
    let summary = source.join("SUMMARY.md");
    let mut listed: Vec<PathBuf> =
        targets(&fs::read_to_string(&summary).unwrap()).iter().map(|target| source.join(target)).collect();
    listed.sort();
    let written: Vec<PathBuf> = pages(&source).into_iter().filter(|page| *page != summary).collect();
    assert_eq!(listed, written);
}

#[test]
fn broken_links_are_found_and_right_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("other.md", "# A `kiln` page, twice\n\n## Twice\n\n## Twice\n\n```sh\n# No heading\n```\n");
    write(
        "page.md",
        "# Top\n[a](other.md) [b](other.md#twice-1) [c](#top) [d](other.md#a-kiln-page-twice)\n\
         [e](https://example.org/x) `[f](gone.md)`\n```\n[g](gone.md)\n```\n",
    );
    assert_eq!(problems(folder.path()), [""; 0]);
    write(
        "page.md",
        "[a](gone.md) [b](other.md#thrice) [c](#top)\n<img src=\"gone.svg\">\n[d](other.md#no-heading)\n",
    );
    let found = problems(folder.path());
    assert_eq!(found.len(), 5, "{found:?}");
    for (expected, target) in
        [("file", "gone.md"), ("heading", "other.md#thrice"), ("heading", "#top"), ("file", "gone.svg")]
    {
        let expected = format!("`{target}`: no such {expected}");
        assert!(found.iter().any(|problem| problem.ends_with(&expected)), "{expected}: {found:?}");
    }
}
