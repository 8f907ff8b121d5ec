//! Msgpack as plain values, read and written, for what has no schema of its own here.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// In the order of the document.
    Map(Vec<(Value, Value)>),
}

/// Deeper values are refused.
const DEPTH: usize = 64;

/// Decodes a whole document.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Value, String> {
    let value = value(&mut bytes, DEPTH)?;
    if bytes.is_empty() { Ok(value) } else { Err(format!("{} bytes follow the msgpack document", bytes.len())) }
}

impl Value {
    /// The fields of a map whose keys are texts.
    pub(super) fn fields(self) -> Result<Vec<(String, Value)>, String> {
        let Self::Map(entries) = self else { return Err(format!("a map is expected, there is {self:?}")) };
        let field = |(key, value)| match key {
            Self::Text(key) => Ok((key, value)),
            other => Err(format!("a key is {other:?}")),
        };
        entries.into_iter().map(field).collect()
    }

    /// The elements of a list; nil is an empty one.
    pub(super) fn list(self) -> Result<Vec<Value>, String> {
        match self {
            Self::List(elements) => Ok(elements),
            Self::Nil => Ok(Vec::new()),
            other => Err(format!("a list is expected, there is {other:?}")),
        }
    }

    /// A text; nil is an empty one.
    pub(super) fn text(self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Nil => Ok(String::new()),
            other => Err(format!("a text is expected, there is {other:?}")),
        }
    }

    pub(super) fn texts(self) -> Result<Vec<String>, String> {
        self.list()?.into_iter().map(Self::text).collect()
    }

    pub(super) fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Nil => Ok(Vec::new()),
            other => Err(format!("bytes are expected, there is {other:?}")),
        }
    }

    pub(super) fn bool(self) -> Result<bool, String> {
        match self {
            Self::Bool(value) => Ok(value),
            Self::Nil => Ok(false),
            other => Err(format!("a truth value is expected, there is {other:?}")),
        }
    }

    pub(super) fn integer<T: TryFrom<i128> + Default>(self) -> Result<T, String> {
        match self {
            Self::Integer(number) => T::try_from(number).map_err(|_| format!("{number} is out of range")),
            Self::Nil => Ok(T::default()),
            other => Err(format!("a whole number is expected, there is {other:?}")),
        }
    }
}

/// Encodes a document.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

/// Each value in its shortest form, as the tracers' libraries write it.
fn write(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Nil => bytes.push(0xc0),
        Value::Bool(value) => bytes.push(0xc2 + u8::from(*value)),
        Value::Integer(number) => integer(*number, bytes),
        Value::Float(number) => {
            bytes.push(0xcb);
            bytes.extend(number.to_be_bytes());
        }
        Value::Text(text) => {
            head(text.len(), &Head { own: Some((0xa0, 31)), byte: Some(0xd9), two_bytes: 0xda }, bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Bytes(content) => {
            head(content.len(), &Head { own: None, byte: Some(0xc4), two_bytes: 0xc5 }, bytes);
            bytes.extend_from_slice(content);
        }
        Value::List(elements) => {
            head(elements.len(), &Head { own: Some((0x90, 15)), byte: None, two_bytes: 0xdc }, bytes);
            for element in elements {
                write(element, bytes);
            }
        }
        Value::Map(entries) => {
            head(entries.len(), &Head { own: Some((0x80, 15)), byte: None, two_bytes: 0xde }, bytes);
            for (key, value) in entries {
                write(key, bytes);
                write(value, bytes);
            }
        }
    }
}

/// The markers of a type with a length.
struct Head {
    /// That which has the length in itself, and up to which.
    own: Option<(u8, u8)>,
    byte: Option<u8>,
    /// The next one is that with four bytes.
    two_bytes: u8,
}

/// Of more elements or bytes than the format can count, as many as it can are counted.
fn head(length: usize, head: &Head, bytes: &mut Vec<u8>) {
    let byte = u8::try_from(length);
    if let (Some((marker, max)), Ok(length)) = (head.own, byte)
        && length <= max
    {
        bytes.push(marker | length);
    } else if let (Some(marker), Ok(length)) = (head.byte, byte) {
        bytes.extend([marker, length]);
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(head.two_bytes);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(head.two_bytes + 1);
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

fn integer(number: i128, bytes: &mut Vec<u8>) {
    let (marker, length) = match number {
        ..0 => (Some(0xd3), 8),
        0..0x80 => (None, 1),
        0x80..0x100 => (Some(0xcc), 1),
        0x100..0x1_0000 => (Some(0xcd), 2),
        0x1_0000..0x1_0000_0000 => (Some(0xce), 4),
        _ => (Some(0xcf), 8),
    };
    bytes.extend(marker);
    let whole = number.to_be_bytes();
    bytes.extend_from_slice(whole.get(whole.len() - length..).unwrap_or_default());
}

fn value(bytes: &mut &[u8], depth: usize) -> Result<Value, String> {
    let depth = depth.checked_sub(1).ok_or("the msgpack document is too deep")?;
    let [marker] = take::<1>(bytes)?;
    Ok(match marker {
        0x00..=0x7f => Value::Integer(i128::from(marker)),
        0x80..=0x8f => map(bytes, usize::from(marker & 0x0f), depth)?,
        0x90..=0x9f => list(bytes, usize::from(marker & 0x0f), depth)?,
        0xa0..=0xbf => text(bytes, usize::from(marker & 0x1f))?,
        0xc0 => Value::Nil,
        0xc2 => Value::Bool(false),
        0xc3 => Value::Bool(true),
        0xc4..=0xc6 => {
            let length = length(bytes, marker - 0xc4)?;
            Value::Bytes(slice(bytes, length)?.to_vec())
        }
        0xca => Value::Float(f64::from(f32::from_be_bytes(take(bytes)?))),
        0xcb => Value::Float(f64::from_be_bytes(take(bytes)?)),
        0xcc => Value::Integer(u8::from_be_bytes(take(bytes)?).into()),
        0xcd => Value::Integer(u16::from_be_bytes(take(bytes)?).into()),
        0xce => Value::Integer(u32::from_be_bytes(take(bytes)?).into()),
        0xcf => Value::Integer(u64::from_be_bytes(take(bytes)?).into()),
        0xd0 => Value::Integer(i8::from_be_bytes(take(bytes)?).into()),
        0xd1 => Value::Integer(i16::from_be_bytes(take(bytes)?).into()),
        0xd2 => Value::Integer(i32::from_be_bytes(take(bytes)?).into()),
        0xd3 => Value::Integer(i64::from_be_bytes(take(bytes)?).into()),
        0xd9..=0xdb => {
            let length = length(bytes, marker - 0xd9)?;
            text(bytes, length)?
        }
        0xdc | 0xdd => {
            let length = length(bytes, marker - 0xdc + 1)?;
            list(bytes, length, depth)?
        }
        0xde | 0xdf => {
            let length = length(bytes, marker - 0xde + 1)?;
            map(bytes, length, depth)?
        }
        0xe0..=0xff => Value::Integer(i8::from_be_bytes([marker]).into()),
        _ => return Err(format!("the msgpack marker {marker:#x} is not understood")),
    })
}

/// Of one, two or four bytes.
fn length(bytes: &mut &[u8], power: u8) -> Result<usize, String> {
    Ok(match power {
        0 => u8::from_be_bytes(take(bytes)?).into(),
        1 => u16::from_be_bytes(take(bytes)?).into(),
        _ => usize::try_from(u32::from_be_bytes(take(bytes)?)).unwrap_or(usize::MAX),
    })
}

fn list(bytes: &mut &[u8], length: usize, depth: usize) -> Result<Value, String> {
    (0..length).map(|_| value(bytes, depth)).collect::<Result<_, _>>().map(Value::List)
}

fn map(bytes: &mut &[u8], length: usize, depth: usize) -> Result<Value, String> {
    let entry = |_| Ok::<_, String>((value(bytes, depth)?, value(bytes, depth)?));
    (0..length).map(entry).collect::<Result<_, _>>().map(Value::Map)
}

fn text(bytes: &mut &[u8], length: usize) -> Result<Value, String> {
    let text = std::str::from_utf8(slice(bytes, length)?).map_err(|error| format!("a text is no UTF-8: {error}"))?;
    Ok(Value::Text(text.to_owned()))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = bytes.split_first_chunk().ok_or("the msgpack document ends too early")?;
    *bytes = rest;
    Ok(*taken)
}

fn slice<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], String> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or("the msgpack document ends too early")?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read() {
        let document =
            b"\x83\xa1a\x92\xff\xcd\x01\x00\xa1b\xc4\x02\x00\x01\xa1c\x94\xc0\xc3\xcb\x3f\xf8\0\0\0\0\0\0\xd9\x01x";
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = Value::Map(vec![
            (text("a"), Value::List(vec![Value::Integer(-1), Value::Integer(256)])),
            (text("b"), Value::Bytes(vec![0, 1])),
            (text("c"), Value::List(vec![Value::Nil, Value::Bool(true), Value::Float(1.5), text("x")])),
        ]);
        assert_eq!(decode(document), Ok(expected));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = |text: &str| Value::Text(text.to_owned());
        let numbers = [i128::from(u64::MAX), i128::from(i64::MIN), 0, -1].map(Value::Integer).to_vec();
        let value = Value::Map(vec![
            (text("numbers"), Value::List(numbers)),
            (
                text("others"),
                Value::List(vec![Value::Nil, Value::Bool(true), Value::Float(-0.5), Value::Bytes(vec![1])]),
            ),
        ]);
        assert_eq!(decode(&encode(&value)), Ok(value));
    }

    #[test]
    fn what_is_broken_is_an_error() {
        for document in [&b""[..], b"\x92\x01", b"\x01\x02", b"\xc1", b"\xa2a", b"\xa1\xff", &[0x91; 100]] {
            assert!(decode(document).is_err(), "{document:?}");
        }
    }
}
