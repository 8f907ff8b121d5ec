//! A tree of HTML and SVG elements, which escapes all text. The output is well-formed XML and valid HTML.

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
