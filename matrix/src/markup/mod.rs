//! HTML pages that are complete in one file: a tree of HTML and SVG elements, which escapes all text, and what all pages share. The output is well-formed XML
//! and valid HTML.

use std::fmt::Display;

/// An element with its attributes and children.
#[derive(Clone, Debug)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Text(String),
    /// Style and script of this program, which are not escaped.
    Own {
        before: &'static str,
        content: &'static str,
        after: &'static str,
    },
}

/// Shows one of several parts at a time, and what is pointed at or has the focus.
pub const SCRIPT: &str = include_str!("script.js");

/// Elements without content.
const EMPTY: [&str; 8] = ["meta", "br", "rect", "line", "circle", "path", "polyline", "polygon"];

impl Element {
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new() }
    }

    /// Sets an attribute; replaces an earlier one of the same name.
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.retain(|(known, _)| *known != name);
        self.attributes.push((name, value.to_string()));
        self
    }

    pub fn class(self, class: impl Display) -> Self {
        self.with("class", class)
    }

    /// Sets a coordinate or a length, rounded to a tenth of a pixel. A value that is not finite becomes the origin.
    pub fn at(self, name: &'static str, value: f64) -> Self {
        let value = if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 };
        self.with(name, value)
    }

    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    pub fn child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Adds a style sheet of this program.
    pub fn style(mut self, content: &'static str) -> Self {
        self.children.push(Node::Own { before: "/*<![CDATA[*/", content, after: "/*]]>*/" });
        self
    }

    /// Adds a script of this program.
    pub fn script(mut self, content: &'static str) -> Self {
        self.children.push(Node::Own { before: "//<![CDATA[\n", content, after: "//]]>\n" });
        self
    }

    /// Appends the element as markup.
    pub fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out);
            out.push('"');
        }
        if EMPTY.contains(&self.name) && self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(out),
                Node::Text(text) => escape(text, out),
                Node::Own { before, content, after } => out.extend([*before, *content, *after]),
            }
        }
        out.push_str("</");
        out.push_str(self.name);
        out.push('>');
    }
}

/// Appends escaped text. Characters that neither HTML nor XML allows become spaces.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            other => out.push(other),
        }
    }
}

/// The head of a page, with the style that all pages share.
pub fn head(title: &str) -> Element {
    Element::new("head")
        .child(Element::new("meta").with("charset", "utf-8"))
        .child(Element::new("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"))
        .child(Element::new("meta").with("name", "color-scheme").with("content", "light dark"))
        .child(Element::new("title").text(title))
        .child(Element::new("style").style(include_str!("style.css")))
}

/// A whole page.
pub fn document(head: Element, body: Element) -> String {
    let mut out = "<!DOCTYPE html>\n".to_owned();
    Element::new("html").with("lang", "en").child(head).child(body).write(&mut out);
    out.push('\n');
    out
}

/// Several parts as tabs of this label. Without scripts, all of them are shown.
pub fn tabs(label: &str, parts: impl IntoIterator<Item = (String, Element)>) -> Element {
    let tab = |(name, part): (String, Element)| Element::new("div").with("data-tab", name).child(part);
    Element::new("div").class("choice").with("data-tabs", label).children(parts.into_iter().map(tab))
}

/// A table whose numbers are aligned to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Element {
    if rows.is_empty() {
        return Element::new("p").text("None.");
    }
    let is_numeric = |column: usize| rows.iter().filter_map(|row| row.get(column)).all(|cell| is_number(cell));
    let sides: Vec<&str> = (0..head.len()).map(|column| if is_numeric(column) { "number" } else { "text" }).collect();
    let heads = head.iter().zip(&sides);
    let heads = heads.map(|(title, side)| Element::new("th").with("scope", "col").class(side).text(*title));
    let cell = |(text, side): (&String, &&str)| Element::new("td").class(side).text(text);
    let row = |row: &Vec<String>| Element::new("tr").children(row.iter().zip(&sides).map(cell));
    let body = Element::new("tbody").children(rows.iter().map(row));
    let whole =
        Element::new("table").child(Element::new("thead").child(Element::new("tr").children(heads))).child(body);
    Element::new("div").class("wide").child(whole)
}

/// Whether a cell is a number, with or without its unit, or stands for none.
fn is_number(cell: &str) -> bool {
    let cell = cell.strip_suffix(" ms").or_else(|| cell.strip_suffix(" MB")).unwrap_or(cell);
    cell == "–" || cell.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(element: &Element) -> String {
        let mut out = String::new();
        element.write(&mut out);
        out
    }

    #[test]
    fn no_text_and_no_attribute_becomes_markup() {
        let hostile = "\"><script>alert('&')</script>\u{0}";
        let text = written(&Element::new("p").with("title", hostile).text(hostile));
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert!(text.contains("&lt;script&gt;alert('&amp;')") && !text.contains('\u{0}'), "{text}");
    }

    #[test]
    fn only_elements_that_may_be_empty_end_where_they_begin() {
        assert_eq!(written(&Element::new("rect").at("x", 1.04).at("y", f64::NAN)), r#"<rect x="1" y="0"/>"#);
        assert_eq!(written(&Element::new("div")), "<div></div>");
    }
}
