use super::*;

/// A page with every element. Its text would break the page if it were not escaped.
fn page() -> Page {
    let evil = "<script>&\"'\u{1}";
    let point = |x, y| Point { x, y, note: evil.to_owned() };
    let series = |shape, line, points| Series { name: evil.to_owned(), ink: Ink::Blue, shape, line, points };
    let axis = || Axis { label: evil.to_owned(), may_be_logarithmic: true };
    let plot = |series, limits| Plot {
        title: evil.to_owned(),
        description: evil.to_owned(),
        x: axis(),
        y: axis(),
        series,
        limits,
    };
    let points = || vec![point(1.0, 2.0), point(f64::NAN, 1.0), point(300.0, 4.0)];
    let shapes = Shape::SERIES.into_iter().chain([Shape::Star]);
    let limit = |horizontal| Limit { horizontal, at: 2.5, label: evil.to_owned() };
    let table = Table {
        caption: evil.to_owned(),
        headings: vec![evil.to_owned(); 3],
        rows: vec![vec![Cell::Text(evil.to_owned()), Cell::Number(evil.to_owned()), Cell::Bar(f64::NAN)]],
    };
    Page {
        title: evil.to_owned(),
        subtitle: evil.to_owned(),
        figures: vec![Figure { label: evil.to_owned(), value: evil.to_owned(), note: evil.to_owned() }],
        sections: vec![Section {
            title: evil.to_owned(),
            parts: vec![
                Part::Text(evil.to_owned()),
                Part::Plots(vec![
                    plot(shapes.map(|shape| series(Some(shape), Line::Steps, points())).collect(), vec![]),
                    plot(vec![series(None, Line::Straight, points())], vec![limit(true), limit(false)]),
                    plot(vec![series(None, Line::None, vec![])], vec![]),
                    plot(vec![series(Some(Shape::Cross), Line::Steps, vec![point(5.0, 5.0)])], vec![]),
                ]),
                Part::Code(evil.to_owned()),
                Part::Folded { summary: evil.to_owned(), part: Box::new(Part::Table(table)) },
            ],
        }],
        footer: evil.to_owned(),
    }
}

/// Checks that tags are nested correctly and attributes are quoted. Returns the names of the tags.
fn check_markup(html: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("the page says what it is");
    // A style sheet contains `>` and quotes, but no tags.
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('"') || open.last().is_some_and(|tag| tag == "style"), "a quote in `{text}`");
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "`{tag}`");
        assert!(tag.matches('"').count().is_multiple_of(2), "`{tag}`");
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        if !tag.ends_with('/') && name != "meta" {
            open.push(name.clone());
        }
        seen.push(name);
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    seen
}

#[test]
fn page_is_well_formed_and_loads_nothing() {
    for page in [page(), Page::default()] {
        let html = page.html();
        let tags = check_markup(&html);
        assert!(!tags.iter().any(|tag| ["script", "link", "img", "iframe", "use"].contains(&tag.as_str())));
        for outside in ["http", "url(", "@import", "NaN", "inf\"", "\u{1}"] {
            assert!(!html.contains(outside), "`{outside}` is in the page");
        }
    }
}

#[test]
fn is_own_checks_generator_and_title() {
    let html = Page { title: "a<b".to_owned(), ..Page::default() }.html();
    assert!(Page::is_own(html.as_bytes(), "a<b"));
    assert!(!Page::is_own(html.as_bytes(), "a"));
    assert!(!Page::is_own(html.replace("generator", "author").as_bytes(), "a<b"));
    assert!(!Page::is_own(format!("\n{html}").as_bytes(), "a<b"));
}

#[test]
fn plot_has_title_and_description() {
    let html = page().html();
    assert_eq!(html.matches("role=\"img\"").count(), 4);
    for number in 1..=4 {
        assert!(html.contains(&format!("aria-labelledby=\"title-{number} about-{number}\"")));
        assert_eq!(html.matches(&format!("id=\"title-{number}\"")).count(), 1);
        assert_eq!(html.matches(&format!("id=\"about-{number}\"")).count(), 1);
    }
    assert_eq!(html.matches("nothing to show yet").count(), 1);
}

#[test]
fn line_passes_through_positions_of_values() {
    let point = |x, y| Point { x, y, note: format!("{x}/{y}") };
    let plot = Plot {
        series: vec![Series {
            name: String::new(),
            ink: Ink::Green,
            shape: None,
            line: Line::Steps,
            points: vec![point(0.0, 0.0), point(10.0, 10.0)],
        }],
        ..Plot::default()
    };
    let mut svg = String::new();
    plot.write(&mut svg, 1);
    // The line starts in the lower left corner. At the upper ends, the margin is a twentieth of the range.
    assert!(svg.contains("<path class=\"line green\" d=\"M78.0 318.0H523.7V28.5\"/>"), "{svg}");
}

#[test]
fn logarithmic_axis_is_labeled_and_has_distinct_ticks() {
    let point = |x: f64| Point { x, y: x, note: String::new() };
    let plot = Plot {
        x: Axis { label: "energy µJ".to_owned(), may_be_logarithmic: true },
        y: Axis { label: "accuracy %".to_owned(), may_be_logarithmic: false },
        series: vec![Series {
            name: String::new(),
            ink: Ink::Blue,
            shape: Some(Shape::Circle),
            line: Line::None,
            points: vec![point(0.002), point(0.02), point(0.9)],
        }],
        ..Plot::default()
    };
    let mut svg = String::new();
    plot.write(&mut svg, 1);
    assert!(svg.contains(">energy µJ (logarithmic)</text>") && svg.contains(">accuracy %</text>"), "{svg}");
    for tick in ["0.003", "0.01", "0.03", "0.1", "0.3"] {
        assert!(svg.contains(&format!(">{tick}</text>")), "{tick}: {svg}");
    }
}
