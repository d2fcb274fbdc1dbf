//! Writes one self-contained HTML page from plain data: headings, figures, tables and SVG plots. This module
//! knows nothing about studies.
//!
//! The page loads no script, font or style sheet. It follows the light or dark mode of the reader's system
//! and fits on a phone. Color is never the only information: a shape or a word repeats it.

mod axis;
mod escape;
mod mark;
mod plot;
mod table;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use self::escape::escape;
pub use self::mark::{Ink, Shape};
pub use self::plot::{Axis, Limit, Line, Plot, Point, Series};
pub use self::table::{Cell, Table};

/// The style sheet: colors, layout, and rules for phones and for print.
const STYLE: &str = include_str!("style.css");

/// The tag by which Kiln recognizes its own pages.
const GENERATOR: &str = "<meta name=\"generator\" content=\"Kiln\">";

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Main heading.
    pub title: String,
    /// One line under the heading.
    pub subtitle: String,
    /// The most important numbers.
    pub figures: Vec<Figure>,
    /// Sections in order.
    pub sections: Vec<Section>,
    /// The last line.
    pub footer: String,
}

/// A highlighted number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What the number means.
    pub label: String,
    /// The number with its unit.
    pub value: String,
    /// A short remark.
    pub note: String,
}

/// A part of a page with its own heading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// Content in order.
    pub parts: Vec<Part>,
}

/// An element of a section.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// Plots, side by side if there is room.
    Plots(Vec<Plot>),
    /// A table.
    Table(Table),
    /// Preformatted text.
    Code(String),
    /// An element that is hidden until the reader opens it.
    Folded {
        /// The visible label.
        summary: String,
        /// The hidden element.
        part: Box<Part>,
    },
}

impl Page {
    /// Returns whether a file with this beginning is a page that Kiln wrote under this title.
    #[must_use]
    pub fn is_own(beginning: &[u8], title: &str) -> bool {
        let beginning = String::from_utf8_lossy(beginning);
        beginning.starts_with("<!DOCTYPE html>")
            && beginning.contains(&format!("\n{GENERATOR}\n<title>{}</title>\n", escape(title)))
    }

    /// Returns the page as HTML in UTF-8.
    #[must_use]
    pub fn html(&self) -> String {
        let mut out = Html { text: String::new(), plots: 0 };
        out.page(self);
        out.text
    }
}

/// The HTML written so far, and the number of plots. Each plot needs its own identifiers.
struct Html {
    text: String,
    plots: usize,
}

impl Html {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Writes an element that contains only text.
    fn element(&mut self, tag: &str, text: &str) {
        let _ = writeln!(self.text, "<{tag}>{}</{tag}>", escape(text));
    }

    fn page(&mut self, page: &Page) {
        let title = escape(&page.title);
        let _ = write!(
            self.text,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n{GENERATOR}\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n\
             </head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n"
        );
        self.element("p", &page.subtitle);
        if !page.figures.is_empty() {
            self.put("<dl class=\"figures\">\n");
            for Figure { label, value, note } in &page.figures {
                let [label, value, note] = [label, value, note].map(|text| escape(text));
                let _ = writeln!(
                    self.text,
                    "<div><dt>{label}</dt><dd><b>{value}</b> <span>{note}</span></dd></div>"
                );
            }
            self.put("</dl>\n");
        }
        self.put("</header>\n");
        for section in &page.sections {
            self.put("<section>\n");
            self.element("h2", &section.title);
            section.parts.iter().for_each(|part| self.part(part));
            self.put("</section>\n");
        }
        self.element("footer", &page.footer);
        self.put("</main>\n</body>\n</html>\n");
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(text) => self.element("p", text),
            Part::Plots(plots) => {
                self.put("<div class=\"plots\">\n");
                for plot in plots {
                    self.plots += 1;
                    plot.write(&mut self.text, self.plots);
                }
                self.put("</div>\n");
            }
            Part::Table(table) => table.write(&mut self.text),
            Part::Code(text) => {
                let _ = writeln!(self.text, "<pre tabindex=\"0\"><code>{}</code></pre>", escape(text));
            }
            Part::Folded { summary, part } => {
                self.put("<details>\n");
                self.element("summary", summary);
                self.part(part);
                self.put("</details>\n");
            }
        }
    }
}
