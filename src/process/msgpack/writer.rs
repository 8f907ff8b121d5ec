//! Writes msgpack, each value in its shortest form.

/// A msgpack document in the making.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Forgets what was written and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Begins a map of so many entries.
    pub(crate) fn map(&mut self, entries: usize) {
        self.start(entries, 0x80, [0xde, 0xdf]);
    }

    /// Begins an array of so many elements.
    pub(crate) fn array(&mut self, elements: usize) {
        self.start(elements, 0x90, [0xdc, 0xdd]);
    }

    fn start(&mut self, count: usize, short: u8, [two, four]: [u8; 2]) {
        if let Ok(count) = u8::try_from(count)
            && count < 16
        {
            self.0.push(short | count);
        } else if let Ok(count) = u16::try_from(count) {
            self.marked(two, &count.to_be_bytes());
        } else {
            self.marked(four, &length(count).to_be_bytes());
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        match u8::try_from(bytes.len()) {
            Ok(length) if length < 32 => self.0.push(0xa0 | length),
            Ok(length) => self.marked(0xd9, &[length]),
            Err(_) => match u16::try_from(bytes.len()) {
                Ok(length) => self.marked(0xda, &length.to_be_bytes()),
                Err(_) => self.marked(0xdb, &length(bytes.len()).to_be_bytes()),
            },
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
            (Ok(length), _) => self.marked(0xc4, &[length]),
            (_, Ok(length)) => self.marked(0xc5, &length.to_be_bytes()),
            _ => self.marked(0xc6, &length(bytes.len()).to_be_bytes()),
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    pub(crate) fn unsigned(&mut self, value: u64) {
        if let Ok(value) = u8::try_from(value) {
            if value < 0x80 { self.0.push(value) } else { self.marked(0xcc, &[value]) }
        } else if let Ok(value) = u16::try_from(value) {
            self.marked(0xcd, &value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.marked(0xce, &value.to_be_bytes());
        } else {
            self.marked(0xcf, &value.to_be_bytes());
        }
    }

    pub(crate) fn signed(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.marked(0xd3, &value.to_be_bytes()),
        }
    }

    /// A value that is a document already.
    pub(crate) fn document(&mut self, document: &[u8]) {
        self.0.extend_from_slice(document);
    }

    fn marked(&mut self, marker: u8, bytes: &[u8]) {
        self.0.push(marker);
        self.0.extend_from_slice(bytes);
    }
}

/// What is longer than the format can say is not written by anybody here: bodies have 50 MiB at most.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::Reader, *};

    #[test]
    fn what_is_written_is_read_back() {
        let lengths = [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536];
        let numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
        let mut writer = Writer::default();
        for length in lengths {
            writer.text(&"x".repeat(length));
            writer.bytes(&vec![7; length]);
            writer.array(length);
            writer.document(&vec![0xc0; length]);
            writer.map(length);
            writer.document(&vec![0xc0; 2 * length]);
        }
        for number in &numbers {
            writer.unsigned(*number);
        }
        for number in &[i64::MIN, -1, 0, i64::MAX] {
            writer.signed(*number);
        }
        writer.bool(true);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes, usize::MAX);
        for length in lengths {
            assert_eq!(reader.text().unwrap().len(), length);
            assert_eq!(reader.bytes_or_nil().unwrap().len(), length);
            assert_eq!(reader.array_or_nil().unwrap(), length);
            for _ in 0..length {
                reader.skip().unwrap();
            }
            assert_eq!(reader.map_or_nil().unwrap(), length);
            for _ in 0..2 * length {
                reader.skip().unwrap();
            }
        }
        for number in &numbers {
            assert_eq!(reader.integer::<u64>().unwrap(), *number);
        }
        for number in &[i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(reader.integer::<i64>().unwrap(), *number);
        }
        assert!(reader.bool_or_nil().unwrap());
        assert_eq!(reader.offset(), bytes.len());
    }
}
