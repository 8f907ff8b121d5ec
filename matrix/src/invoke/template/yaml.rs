//! The tree of a template in YAML or JSON, with scalars as they are written, and tags such as `!Ref` as what they stand for.
//!
//! Which plain scalars are numbers depends on who reads the template. Quoted and block text is never anything else.
//!
//! Sources: "Intrinsic function reference" of `CloudFormation`'s user guide for the tags; the readers of AWS SAM and of the Serverless Framework make mappings such as
//! `{"Fn::Sub": …}` of them, too. YAML's type `merge` for `<<`.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, Tag};

use super::scalars::{self, Schema};

/// Maximum nesting depth, together with that of what aliases stand for. Walks of the tree are recursive.
const DEPTH: usize = 100;
/// Maximum size in bytes of what all aliases stand for together, where a node has [`NODE`] bytes and its text.
const REPEATED: usize = 8 * 1024 * 1024;
const NODE: usize = 64;
/// Maximum number of repeated keys that are named.
const REPEATED_KEYS: usize = 10;
/// Maximum length of a key in characters.
const KEY: usize = 16 * 1024;

/// Why a text is no tree.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Refusal {
    line: usize,
    reason: String,
}

/// A node of the tree. What an alias repeats is there once.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// A scalar without quotes.
    Plain(String),
    Text(String),
    List(Vec<Rc<Node>>),
    Mapping(Vec<(String, Rc<Node>)>),
    /// A function of `CloudFormation`, such as `Fn::Sub`, and its argument.
    Intrinsic(String, Rc<Node>),
}

/// A template as it is written.
#[derive(Debug)]
pub struct Document {
    root: Rc<Node>,
    /// The keys that are in a mapping twice, of which the last one counts, with their lines.
    pub repeated_keys: Vec<String>,
}

impl Document {
    /// Reads the only document of a text.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        // First, as SAM does: JSON has numbers of its own.
        if let Ok(root @ Value::Object(_)) = serde_json::from_str(text) {
            return Ok(Self { root: Rc::new(Node::of_json(root)), repeated_keys: Vec::new() });
        }
        let options = granit_parser::options! {
            emit_comments: false,
            block_scalar_eof_without_line_feed: true,
            flow_nesting_limit: DEPTH,
            block_nesting_limit: DEPTH,
            simple_key_max_lookahead: KEY,
        };
        let mut builder = Builder::default();
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| Refusal::at(error.marker(), error.info()))?;
            builder.add(event, span.start.line()).map_err(|reason| Refusal::at(&span.start, reason))?;
        }
        let root = builder.root.unwrap_or_else(|| Rc::new(Node::Plain(String::new())));
        Ok(Self { root, repeated_keys: builder.repeated_keys })
    }

    /// Whether the root is a mapping with this key.
    pub fn has(&self, key: &str) -> bool {
        matches!(&*self.root, Node::Mapping(entries) if entries.iter().any(|(name, _)| name == key))
    }

    /// The tree with values in the place of plain scalars. A function of `CloudFormation` is a mapping with its name.
    pub fn value(&self, schema: Schema) -> Value {
        self.root.value(schema)
    }
}

impl Refusal {
    fn at(marker: &Marker, reason: impl Into<String>) -> Self {
        Self { line: marker.line(), reason: reason.into() }
    }
}

impl Node {
    fn of_json(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(|item| Rc::new(Self::of_json(item))).collect()),
            Value::Object(fields) => {
                Self::Mapping(fields.into_iter().map(|(name, field)| (name, Rc::new(Self::of_json(field)))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value.to_string()),
        }
    }

    /// A scalar with its tag.
    fn of_scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Self {
        match tag.map(TagKind::of) {
            None if style == ScalarStyle::Plain => Self::Plain(text),
            None | Some(TagKind::Text) => Self::Text(text),
            Some(TagKind::Core) => Self::Plain(text),
            Some(TagKind::Intrinsic(name)) => {
                // The short form of a list.
                let argument = match text.split_once('.').filter(|_| name == "Fn::GetAtt") {
                    Some((resource, attribute)) => {
                        let parts = [resource, attribute].map(|part| Rc::new(Self::Text(part.to_owned())));
                        Self::List(parts.to_vec())
                    }
                    None => Self::Text(text),
                };
                Self::Intrinsic(name, Rc::new(argument))
            }
        }
    }

    fn value(&self, schema: Schema) -> Value {
        match self {
            Self::Plain(text) => scalars::resolved(text, schema),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => items.iter().map(|item| item.value(schema)).collect(),
            Self::Mapping(entries) => {
                Value::Object(entries.iter().map(|(name, node)| (name.clone(), node.value(schema))).collect())
            }
            Self::Intrinsic(name, argument) => {
                Value::Object([(name.clone(), argument.value(schema))].into_iter().collect())
            }
        }
    }
}

/// What a tag says of a node.
enum TagKind {
    /// A scalar with it is text.
    Text,
    /// A type that YAML has itself.
    Core,
    /// A function of `CloudFormation`; what is none has a name that nothing resolves.
    Intrinsic(String),
}

impl TagKind {
    fn of(tag: &Tag) -> Self {
        match (tag.core_suffix(), tag.suffix()) {
            (Some("str"), _) => Self::Text,
            (Some(_), _) => Self::Core,
            (None, "!") if tag.original_handle().is_empty() => Self::Text,
            (None, name @ ("Ref" | "Condition")) => Self::Intrinsic(name.to_owned()),
            (None, name) => Self::Intrinsic(format!("Fn::{name}")),
        }
    }
}

/// A complete node with its measures.
#[derive(Clone)]
struct Branch {
    node: Rc<Node>,
    size: usize,
    depth: usize,
}

/// A list or a mapping whose end has not been read yet.
struct OpenCollection {
    content: Content,
    /// The function that a tag makes of it.
    function: Option<String>,
    anchor: usize,
    size: usize,
    /// The depth below it.
    depth: usize,
}

enum Content {
    List(Vec<Rc<Node>>),
    Mapping(Entries),
}

#[derive(Default)]
struct Entries {
    list: Vec<(String, Rc<Node>)>,
    /// The places of names in the list.
    places: BTreeMap<String, usize>,
    /// The values of `<<`.
    merged: Vec<Rc<Node>>,
    /// The key whose value comes next.
    key: Option<Key>,
}

enum Key {
    Merge,
    Name { name: String, line: usize },
}

/// Makes a tree of the parser's events, without recursion.
#[derive(Default)]
struct Builder {
    open: Vec<OpenCollection>,
    /// Complete nodes with an anchor.
    anchors: BTreeMap<usize, Branch>,
    /// The size of what aliases stand for so far.
    repeated: usize,
    repeated_keys: Vec<String>,
    has_document: bool,
    root: Option<Rc<Node>>,
}

impl Builder {
    fn add(&mut self, event: Event<'_>, line: usize) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(..) if self.has_document => Err("a second document begins; a template has one"),
            Event::DocumentStart(..) => {
                self.has_document = true;
                Ok(())
            }
            Event::Alias(anchor) => self.repeat(anchor, line),
            Event::Scalar(text, style, anchor, tag) => {
                let size = NODE + text.len();
                let node = Rc::new(Node::of_scalar(text.into_owned(), style, tag.as_deref()));
                self.complete(Branch { node, size, depth: 1 }, anchor, line)
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(Content::List(Vec::new()), anchor, tag.as_deref()),
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Content::Mapping(Entries::default()), anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, tag: Option<&Tag>) -> Result<(), &'static str> {
        if self.open.len() >= DEPTH {
            return Err("lists and mappings are nested more than 100 levels deep");
        }
        let function = tag.map(TagKind::of).and_then(|meaning| match meaning {
            TagKind::Intrinsic(name) => Some(name),
            TagKind::Text | TagKind::Core => None,
        });
        self.open.push(OpenCollection { content, function, anchor, size: NODE, depth: 0 });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), &'static str> {
        let Some(ended) = self.open.pop() else { return Ok(()) };
        let node = Rc::new(match ended.content {
            Content::List(items) => Node::List(items),
            Content::Mapping(entries) => Node::Mapping(entries.merged()?),
        });
        let node = match ended.function {
            Some(name) => Rc::new(Node::Intrinsic(name, node)),
            None => node,
        };
        self.complete(Branch { node, size: ended.size, depth: ended.depth + 1 }, ended.anchor, line)
    }

    fn repeat(&mut self, anchor: usize, line: usize) -> Result<(), &'static str> {
        let branch = self.anchors.get(&anchor).cloned().ok_or("an alias stands for what it is in itself")?;
        self.repeated += branch.size;
        if self.repeated > REPEATED {
            return Err("aliases stand for more than 8 MB");
        }
        if self.open.len() + branch.depth > DEPTH {
            return Err("aliases stand for more than 100 levels of lists and mappings");
        }
        self.place(branch, line)
    }

    fn complete(&mut self, branch: Branch, anchor: usize, line: usize) -> Result<(), &'static str> {
        if anchor != 0 {
            self.anchors.insert(anchor, branch.clone());
        }
        self.place(branch, line)
    }

    /// Puts a complete node where it belongs.
    fn place(&mut self, branch: Branch, line: usize) -> Result<(), &'static str> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(branch.node);
            return Ok(());
        };
        parent.size += branch.size;
        parent.depth = parent.depth.max(branch.depth);
        match &mut parent.content {
            Content::List(items) => items.push(branch.node),
            Content::Mapping(entries) => {
                let repeated = entries.add(branch.node, line)?;
                self.repeated_keys.extend(repeated.filter(|_| self.repeated_keys.len() < REPEATED_KEYS));
            }
        }
        Ok(())
    }
}

impl Entries {
    /// Adds a key, or the value of the last one. A key that is there already is returned with its line.
    fn add(&mut self, node: Rc<Node>, line: usize) -> Result<Option<String>, &'static str> {
        match self.key.take() {
            None => {
                self.key = Some(match &*node {
                    Node::Plain(text) if text == "<<" => Key::Merge,
                    Node::Plain(text) | Node::Text(text) => Key::Name { name: text.clone(), line },
                    _ => return Err("a key is no text"),
                });
            }
            Some(Key::Merge) => self.merged.push(node),
            Some(Key::Name { name, line }) => {
                if let Some((_, value)) = self.places.get(&name).and_then(|place| self.list.get_mut(*place)) {
                    *value = node;
                    return Ok(Some(format!("{name} (line {line})")));
                }
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name, node));
            }
        }
        Ok(None)
    }

    /// The entries with those of other mappings below them. Of several mappings, the first one with a key counts.
    fn merged(mut self) -> Result<Vec<(String, Rc<Node>)>, &'static str> {
        for source in std::mem::take(&mut self.merged) {
            match &*source {
                Node::Mapping(entries) => self.add_missing(entries),
                Node::List(items) => {
                    for item in items {
                        let Node::Mapping(entries) = &**item else { return Err(NOT_MERGED) };
                        self.add_missing(entries);
                    }
                }
                _ => return Err(NOT_MERGED),
            }
        }
        Ok(self.list)
    }

    fn add_missing(&mut self, entries: &[(String, Rc<Node>)]) {
        for (name, node) in entries {
            if !self.places.contains_key(name) {
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name.clone(), Rc::clone(node)));
            }
        }
    }
}

const NOT_MERGED: &str = "`<<` takes a mapping or a list of mappings";

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
