//! Colors that people with any color vision can distinguish. Where a color has a meaning, a sign or a word
//! states the same meaning.
//!
//! Source: Okabe, Ito, Color Universal Design (2008), the eight-color palette.

use ratatui::style::{Color, Modifier, Style};

/// The number of colors that the terminal supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// No colors, because the user has switched colors off.
    None,
    /// The sixteen colors that every terminal has. The terminal determines how they look.
    Sixteen,
    /// The fixed palette with 256 colors.
    Indexed,
    /// 24-bit colors.
    True,
}

/// Meaning of a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The Pareto front, and other good news.
    Front,
    /// A limit, and other bad news.
    Limit,
    /// A curve.
    Curve,
    /// A finished network.
    Finished,
    /// The selected item or the focused panel.
    Focus,
    /// Less important text.
    Dim,
}

/// The styles of all roles on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Palette(Depth);

impl Palette {
    pub(super) const fn new(depth: Depth) -> Self {
        Self(depth)
    }

    /// Returns the palette for a terminal that these environment variables describe. See
    /// <https://no-color.org>.
    pub(super) fn detect(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let contains = |name, part| variable(name).is_some_and(|value: String| value.contains(part));
        Self::new(if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            Depth::None
        } else if contains("COLORTERM", "truecolor") || contains("COLORTERM", "24bit") {
            Depth::True
        } else if contains("TERM", "256color") {
            Depth::Indexed
        } else {
            Depth::Sixteen
        })
    }

    /// Returns the style of a role.
    pub(super) fn style(self, role: Role) -> Style {
        let style = match self.color(role) {
            Some(color) => Style::new().fg(color),
            None => Style::new(),
        };
        match role {
            Role::Focus => style.add_modifier(Modifier::BOLD),
            Role::Dim if self.0 == Depth::None => style.add_modifier(Modifier::DIM),
            _ => style,
        }
    }

    /// Returns the style of the selected row.
    pub(super) fn selected() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    const fn color(self, role: Role) -> Option<Color> {
        Some(match (self.0, role) {
            (Depth::None, _) => return None,
            // Sky blue, vermillion, bluish green, yellow and orange.
            (Depth::True, Role::Front) => Color::Rgb(86, 180, 233),
            (Depth::True, Role::Limit) => Color::Rgb(213, 94, 0),
            (Depth::True, Role::Curve) => Color::Rgb(0, 158, 115),
            (Depth::True, Role::Finished) => Color::Rgb(240, 228, 66),
            (Depth::True, Role::Focus) => Color::Rgb(230, 159, 0),
            // The nearest colors in the 6 x 6 x 6 color cube.
            (Depth::Indexed, Role::Front) => Color::Indexed(74),
            (Depth::Indexed, Role::Limit) => Color::Indexed(166),
            (Depth::Indexed, Role::Curve) => Color::Indexed(36),
            (Depth::Indexed, Role::Finished) => Color::Indexed(227),
            (Depth::Indexed, Role::Focus) => Color::Indexed(178),
            (Depth::Sixteen, Role::Front) => Color::LightCyan,
            (Depth::Sixteen, Role::Limit) => Color::LightRed,
            (Depth::Sixteen, Role::Curve) => Color::Green,
            (Depth::Sixteen, Role::Finished | Role::Focus) => Color::Yellow,
            (Depth::True | Depth::Indexed, Role::Dim) => Color::Indexed(245),
            (Depth::Sixteen, Role::Dim) => Color::DarkGray,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(variables: &[(&str, &str)]) -> Depth {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Palette::detect(&find).0
    }

    #[test]
    fn color_depth_follows_environment() {
        assert_eq!(detected(&[("TERM", "xterm-256color")]), Depth::Indexed);
        assert_eq!(detected(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Depth::True);
        assert_eq!(detected(&[("TERM", "linux")]), Depth::Sixteen);
        assert_eq!(detected(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), Depth::None);
        assert_eq!(detected(&[("COLORTERM", "truecolor"), ("NO_COLOR", "")]), Depth::True);
    }

    #[test]
    fn palette_without_colors_has_no_colored_style() {
        let palette = Palette::new(Depth::None);
        for role in [Role::Front, Role::Limit, Role::Curve, Role::Finished, Role::Focus, Role::Dim] {
            assert_eq!(palette.style(role).fg, None);
        }
    }
}
