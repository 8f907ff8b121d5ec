//! Reads what is written as tracers write almost all of it. Each of these gives nothing for anything else, which the others then read from where it begins.

use std::borrow::Cow;

use super::{
    Unreadable,
    reader::{Reader, utf8},
};

impl<'b> Reader<'b> {
    /// What is as almost all are; else nothing, and nothing has been read.
    #[expect(clippy::inline_always, reason = "as for what it reads")]
    #[inline(always)]
    pub(crate) fn plain<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let read = read(self);
        if read.is_none() {
            self.at = start;
        }
        read
    }

    /// A text that needs no change. None for anything else, of which some may have been read.
    #[expect(clippy::inline_always, reason = "most of what spans are made of: the call would cost more than the read")]
    #[inline(always)]
    pub(crate) fn plain_text(&mut self) -> Option<&'b str> {
        if let Some(marker @ 0xa0..=0xbf) = self.body.get(self.at) {
            let start = self.at + 1;
            let end = start + usize::from(marker & 0x1f);
            self.at = end;
            return utf8(self.body.get(start..end)?);
        }
        self.plain_long_text()
    }

    #[inline(never)]
    fn plain_long_text(&mut self) -> Option<&'b str> {
        let (_, rest) = self.body.split_at_checked(self.at)?;
        let (bytes, text) = match rest {
            [0xd9, length, text @ ..] => (usize::from(*length), text),
            [0xda, high, low, text @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), text),
            [0xdb, a, b, c, d, text @ ..] => (usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?, text),
            _ => return None,
        };
        self.at = self.body.len() - text.len() + bytes;
        utf8(text.get(..bytes)?)
    }

    /// Puts a text in its place; nil is an empty one.
    #[expect(clippy::inline_always, reason = "fields of every span, most of which are read in registers")]
    #[inline(always)]
    pub(crate) fn put_text(&mut self, place: &mut Cow<'b, str>) -> Result<(), Unreadable> {
        *place = match self.plain(Self::plain_text) {
            Some(text) => Cow::Borrowed(text),
            None => self.text_or_nil()?,
        };
        Ok(())
    }

    /// A number as tracers write almost all that are no integers. None for anything else, of which some may have been read.
    #[inline]
    pub(crate) fn plain_float(&mut self) -> Option<f64> {
        let [0xcb, number @ ..] = self.body.get(self.at..)?.first_chunk::<9>()? else { return None };
        self.at += 9;
        Some(f64::from_be_bytes(*number))
    }

    /// An index that is written as tracers write it. None for anything else, of which some may have been read.
    #[expect(clippy::inline_always, reason = "an index of a string stands for every text")]
    #[inline(always)]
    pub(crate) fn plain_index(&mut self) -> Option<usize> {
        if let Some(small @ ..=0x7f) = self.body.get(self.at) {
            self.at += 1;
            return Some(usize::from(*small));
        }
        self.plain_long_index()
    }

    #[inline(never)]
    fn plain_long_index(&mut self) -> Option<usize> {
        let (_, rest) = self.body.split_at_checked(self.at)?;
        let (index, bytes) = match rest {
            [0xcc, a, ..] => (u32::from(*a), 2),
            [0xcd, a, b, ..] => (u16::from_be_bytes([*a, *b]).into(), 3),
            [0xce, a, b, c, d, ..] | [0xcf, 0, 0, 0, 0, a, b, c, d, ..] => {
                (u32::from_be_bytes([*a, *b, *c, *d]), if rest.first() == Some(&0xce) { 5 } else { 9 })
            }
            _ => return None,
        };
        self.at += bytes;
        usize::try_from(index).ok()
    }

    /// Reads so many entries, of which those that are none are left out. There is room for one more than that, which processing adds to many maps: all others would have
    /// to move.
    ///
    /// `plain` reads an entry as almost all are, and gives nothing for any other, which `any` then reads. An entry of slices goes from registers to where it stays.
    #[expect(clippy::inline_always, reason = "a loop for each kind of entry, with its reader in it")]
    #[inline(always)]
    pub(crate) fn entries<T>(
        &mut self,
        count: usize,
        plain: impl Fn(&mut Self) -> Option<T>,
        any: impl Fn(&mut Self) -> Result<Option<T>, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        let room = if count == 0 { 0 } else { count + 1 };
        let mut entries = self.list(room)?;
        let mut left = count;
        while left > 0 {
            self.make_room(&mut entries, room)?;
            let free = entries.capacity() - entries.len();
            let before = left;
            entries.extend(std::iter::from_fn(|| {
                if left == 0 || before - left == free {
                    return None;
                }
                let entry = self.plain(&plain)?;
                left -= 1;
                Some(entry)
            }));
            if left > 0 && before - left < free {
                left -= 1;
                entries.extend(any(self)?);
            }
        }
        Ok(entries)
    }
}
