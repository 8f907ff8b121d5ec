//! Writes protobuf messages from borrowed values.
//!
//! A message is described once, for any [`Sink`]: a [`Size`] counts its bytes, which must be known before it is put into another, and a `Vec<u8>` takes them. The
//! messages of `prost` own their strings and keep maps in hash tables: filling them would copy every string of every span.
//!
//! Source: the protobuf encoding guide.

/// A destination for the bytes of a message.
pub(crate) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);
    fn varint(&mut self, value: u64);

    /// A tag of one byte, and a number.
    fn tagged(&mut self, tag: u8, value: u64) {
        self.bytes(&[tag]);
        self.varint(value);
    }

    /// An entry of a map whose tag and lengths are of one byte each: those before the key, the key, those before the value, and the value.
    fn short_entry(&mut self, head: [u8; 4], key: &[u8], value_head: [u8; 2], value: &[u8]) {
        self.bytes(&head);
        self.bytes(key);
        self.bytes(&value_head);
        self.bytes(value);
    }
}

/// Counts bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl Sink for Size {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, value: u64) {
        self.0 += varint_length(value);
    }
}

impl Sink for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are wanted")]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }
}

/// A message in memory that is used again for the next one. What a `Vec` does for each piece, to look for room and to take it, is most of the work for pieces of
/// a few bytes: here the room is there, and a piece is copied.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    buffer: Vec<u8>,
    length: usize,
}

impl Scratch {
    /// Forgets what was written and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    pub(crate) fn written(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// How many bytes of memory it takes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next so many bytes, to be written.
    #[expect(clippy::inline_always, reason = "three callers, each of which runs for every piece of a few bytes")]
    #[inline(always)]
    fn place(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.length + bytes;
        if end > self.buffer.len() {
            self.grow(end);
        }
        let place = self.buffer.get_mut(self.length..end).unwrap_or_default();
        self.length = end;
        place
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, bytes: usize) {
        /// That of most spans.
        const FIRST: usize = 4 << 10;
        self.buffer.resize(bytes.saturating_mul(2).max(FIRST), 0);
    }
}

impl Sink for Scratch {
    fn bytes(&mut self, bytes: &[u8]) {
        self.place(bytes.len()).copy_from_slice(bytes);
    }

    fn varint(&mut self, value: u64) {
        write_varint(self.place(varint_length(value)), value);
    }

    fn tagged(&mut self, tag: u8, value: u64) {
        let Some((first, rest)) = self.place(1 + varint_length(value)).split_first_mut() else { return };
        *first = tag;
        write_varint(rest, value);
    }

    fn short_entry(&mut self, head: [u8; 4], key: &[u8], value_head: [u8; 2], value: &[u8]) {
        let place = self.place(6 + key.len() + value.len());
        let Some((first, rest)) = place.split_first_chunk_mut() else { return };
        *first = head;
        let Some((key_place, rest)) = rest.split_at_mut_checked(key.len()) else { return };
        key_place.copy_from_slice(key);
        let Some((second, rest)) = rest.split_first_chunk_mut() else { return };
        *second = value_head;
        rest.copy_from_slice(value);
    }
}

/// Fills a place of the length that the number takes.
#[expect(clippy::cast_possible_truncation, reason = "the low seven bits are wanted")]
#[expect(clippy::inline_always, reason = "two callers, each of which runs for every number")]
#[inline(always)]
fn write_varint(place: &mut [u8], value: u64) {
    let mut rest = value;
    let Some((last, before)) = place.split_last_mut() else { return };
    for byte in before {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    *last = rest as u8;
}

/// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// 1 to 10.
pub(crate) const fn varint_length(value: u64) -> usize {
    // Seven bits a byte, and zero takes one as well: this is the number of bits divided by seven and rounded up, without a division.
    ((u64::BITS - (value | 1).leading_zeros()) as usize * 9 + 64) / 64
}

/// The bytes that a field with a length takes, tag included. Fields up to number 15 have a tag of one byte.
pub(crate) const fn field_length(content: usize) -> usize {
    1 + varint_length(content as u64) + content
}

/// A whole number; zero is the default and not written.
#[inline]
pub(crate) fn unsigned(sink: &mut impl Sink, field: u64, value: u64) {
    if value != 0 {
        tagged(sink, field << 3 | VARINT, value);
    }
}

/// A tag, of one byte for fields up to number 15, and a number.
#[expect(clippy::inline_always, reason = "the tag is a constant of each caller")]
#[inline(always)]
fn tagged(sink: &mut impl Sink, tag: u64, value: u64) {
    if let Ok(short @ ..0x80) = u8::try_from(tag) {
        sink.tagged(short, value);
    } else {
        sink.varint(tag);
        sink.varint(value);
    }
}

/// A whole number with a sign, of the types `int32` and `int64`.
#[expect(clippy::cast_sign_loss, reason = "the format extends the sign to 64 bits")]
pub(crate) fn signed(sink: &mut impl Sink, field: u64, value: i64) {
    unsigned(sink, field, value as u64);
}

/// A whole number with a sign, of the type `sint32`.
#[expect(clippy::cast_sign_loss, reason = "the format folds the sign into the lowest bit")]
pub(crate) fn zigzag(sink: &mut impl Sink, field: u64, value: i32) {
    unsigned(sink, field, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

pub(crate) fn double(sink: &mut impl Sink, field: u64, value: f64) {
    if value.to_bits() != 0 {
        sink.varint(field << 3 | FIXED64);
        sink.bytes(&value.to_le_bytes());
    }
}

pub(crate) fn fixed64(sink: &mut impl Sink, field: u64, value: u64) {
    if value != 0 {
        sink.varint(field << 3 | FIXED64);
        sink.bytes(&value.to_le_bytes());
    }
}

/// Text or bytes; an empty one is the default and not written.
pub(crate) fn bytes(sink: &mut impl Sink, field: u64, value: &[u8]) {
    if !value.is_empty() {
        begin(sink, field, value.len());
        sink.bytes(value);
    }
}

/// The head of a field of so many bytes, which the caller writes next.
#[inline]
pub(crate) fn begin(sink: &mut impl Sink, field: u64, length: usize) {
    tagged(sink, field << 3 | LENGTH, length as u64);
}

/// An entry of a map from text to text or bytes. Tags of spans are most of what is ever written, and most of them are short.
#[expect(clippy::inline_always, reason = "one loop over tags, in which the field is a constant")]
#[inline(always)]
pub(crate) fn text_entry(sink: &mut impl Sink, field: u64, key: &str, value: &[u8]) {
    match short_head(field, key.len(), 2 + value.len()) {
        Some(head) => sink.short_entry(head, key.as_bytes(), [2 << 3 | 2, low_byte(value.len())], value),
        None => long_text_entry(sink, field, key, value),
    }
}

#[inline(never)]
fn long_text_entry(sink: &mut impl Sink, field: u64, key: &str, value: &[u8]) {
    begin(sink, field, field_length(key.len()) + field_length(value.len()));
    begin(sink, 1, key.len());
    sink.bytes(key.as_bytes());
    begin(sink, 2, value.len());
    sink.bytes(value);
}

/// An entry of a map from text to `double`.
pub(crate) fn double_entry(sink: &mut impl Sink, field: u64, key: &str, value: f64) {
    let number = value.to_le_bytes();
    if let Some(head) = short_head(field, key.len(), 9) {
        let [first, rest @ ..] = number;
        sink.short_entry(head, key.as_bytes(), [2 << 3 | 1, first], &rest);
        return;
    }
    begin(sink, field, field_length(key.len()) + 9);
    begin(sink, 1, key.len());
    sink.bytes(key.as_bytes());
    sink.bytes(&[2 << 3 | 1]);
    sink.bytes(&number);
}

/// The head of a map entry up to its key, if its tag and all lengths are of one byte each. The value's length is that of its whole field.
#[expect(clippy::inline_always, reason = "as for entries")]
#[inline(always)]
fn short_head(field: u64, key: usize, value: usize) -> Option<[u8; 4]> {
    // No length of a part is longer than that of the whole.
    let content = 2 + key + value;
    if content < 0x80
        && let Ok(tag @ ..0x80) = u8::try_from(field << 3 | LENGTH)
    {
        return Some([tag, low_byte(content), 1 << 3 | 2, low_byte(key)]);
    }
    None
}

#[expect(clippy::cast_possible_truncation, reason = "lengths that are known to fit")]
#[inline]
const fn low_byte(length: usize) -> u8 {
    length as u8
}

/// A message inside of another, described by a function for any sink.
pub(crate) fn message<S: Sink, M: Message>(sink: &mut S, field: u64, message: &M) {
    let mut size = Size::default();
    message.write(&mut size);
    begin(sink, field, size.0);
    message.write(sink);
}

/// A message that can be described for any sink.
pub(crate) trait Message {
    fn write(&self, sink: &mut impl Sink);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_as_long_as_counted() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, (1 << shift) + 1] {
                let mut bytes = Vec::new();
                bytes.varint(value);
                assert_eq!(bytes.len(), varint_length(value), "{value}");
            }
        }
        assert_eq!(varint_length(u64::MAX), 10);
    }

    #[test]
    fn fields_are_those_of_another_encoder() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Sample {
            #[prost(uint64, tag = "1")]
            unsigned: u64,
            #[prost(int32, tag = "2")]
            signed: i32,
            #[prost(sint32, tag = "3")]
            zigzag: i32,
            #[prost(double, tag = "4")]
            double: f64,
            #[prost(fixed64, tag = "5")]
            fixed: u64,
            #[prost(string, tag = "6")]
            text: String,
        }
        for (unsigned_, number, double_, text) in
            [(0, 0, 0.0, ""), (300, -7, -0.5, "ü"), (u64::MAX, i32::MIN, f64::MAX, "text"), (1, i32::MAX, 1.0, "x")]
        {
            let sample = Sample {
                unsigned: unsigned_,
                signed: number,
                zigzag: number,
                double: double_,
                fixed: unsigned_,
                text: text.to_owned(),
            };
            let mut ours = Vec::new();
            unsigned(&mut ours, 1, unsigned_);
            signed(&mut ours, 2, number.into());
            zigzag(&mut ours, 3, number);
            double(&mut ours, 4, double_);
            fixed64(&mut ours, 5, unsigned_);
            bytes(&mut ours, 6, text.as_bytes());
            assert_eq!(ours, prost::Message::encode_to_vec(&sample));
        }
    }

    #[test]
    fn entries_of_any_length_equal_those_of_another_encoder() {
        use std::collections::HashMap;

        #[derive(Clone, PartialEq, prost::Message)]
        struct Maps {
            #[prost(map = "string, string", tag = "10")]
            texts: HashMap<String, String>,
            #[prost(map = "string, double", tag = "11")]
            doubles: HashMap<String, f64>,
        }
        for key in [1, 5, 100, 115, 116, 117, 118, 119, 120, 126, 127, 128, 300] {
            for value in [1, 2, 60, 120, 121, 122, 123, 124, 128, 20_000] {
                let (key, text) = ("k".repeat(key), "v".repeat(value));
                let maps = Maps { texts: [(key.clone(), text.clone())].into(), doubles: [(key.clone(), 1.5)].into() };
                let mut ours = Vec::new();
                text_entry(&mut ours, 10, &key, text.as_bytes());
                double_entry(&mut ours, 11, &key, 1.5);
                assert_eq!(ours, prost::Message::encode_to_vec(&maps), "{} {}", key.len(), text.len());
            }
        }
    }

    #[test]
    fn a_size_is_the_number_of_bytes_written() {
        let (mut size, mut written) = (Size::default(), Vec::new());
        write_sample(&mut size);
        write_sample(&mut written);
        assert_eq!(size.0, written.len());
    }

    fn write_sample(sink: &mut impl Sink) {
        text_entry(sink, 10, "key", &[b'x'; 300]);
        text_entry(sink, 10, "key", b"value");
        text_entry(sink, 10, "", b"");
        double_entry(sink, 11, "metric", 1.5);
        for value in [1, 0x7f, 0x80, 300, u64::MAX] {
            unsigned(sink, 3, value);
        }
        bytes(sink, 15, b"abc");
    }

    #[test]
    fn a_scratch_holds_what_a_vector_would_each_time() {
        let mut scratch = Scratch::default();
        for times in [1, 40, 2] {
            let mut expected = Vec::new();
            scratch.clear();
            for _ in 0..times {
                write_sample(&mut scratch);
                write_sample(&mut expected);
            }
            assert_eq!(scratch.written(), expected, "{times}");
        }
    }
}
