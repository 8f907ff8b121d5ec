//! Text in a place of a fixed size.

use core::ffi::CStr;

use extension_protocol::ascii;

use crate::process;

/// Text in a borrowed place. What does not fit is left out, and noted: asking after each of its many parts would take more code than all the texts.
pub struct Text<'p> {
    place: &'p mut [u8],
    used: usize,
    is_cut: bool,
}

impl<'p> Text<'p> {
    /// Without text. All of the place is zero.
    pub fn new(place: &'p mut [u8]) -> Self {
        Self { place, used: 0, is_cut: false }
    }

    /// The text in front of the first byte that is not ASCII.
    pub fn as_str(&self) -> &str {
        ascii::prefix(self.as_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.place.get(..self.used).unwrap_or_default()
    }

    /// False if the text was truncated to the buffer.
    pub fn is_whole(&self) -> bool {
        !self.is_cut
    }

    /// The text as a C string; None where a part was left out, where there is no room for the zero byte, or where one is in it.
    pub fn as_c_str(&self) -> Option<&CStr> {
        // What has not been written is zero.
        self.place.get(..=self.used).filter(|_| self.is_whole()).and_then(process::c_str)
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        if let Some(used) = self.place.get_mut(..self.used) {
            used.fill(0);
        }
        (self.used, self.is_cut) = (0, false);
    }

    /// Adds these bytes, if they fit.
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        match self.place.get_mut(self.used..end) {
            Some(place) if !self.is_cut => {
                place.copy_from_slice(bytes);
                self.used = end;
            }
            _ => self.is_cut = true,
        }
    }

    /// Takes a text part by part.
    pub fn sink(&mut self) -> impl FnMut(&str) {
        |part| self.push(part.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_with_all_behind_it() {
        let mut place = [0; 4];
        let mut text = Text::new(&mut place);
        text.push(b"abc");
        assert_eq!((text.is_whole(), text.as_c_str()), (true, Some(c"abc")));
        text.push(b"de");
        text.push(b"f");
        assert_eq!((text.is_whole(), text.as_str(), text.as_c_str()), (false, "abc", None));
        text.clear();
        assert_eq!((text.is_whole(), text.as_str(), text.as_c_str()), (true, "", Some(c"")));
        text.push(b"abcd");
        assert_eq!((text.is_whole(), text.as_c_str()), (true, None), "there is no room for the zero byte");
    }

    #[test]
    fn text_ends_where_it_is_not_ascii() {
        let mut place = [0; 8];
        let mut text = Text::new(&mut place);
        text.push(b"a\xffb");
        assert_eq!((text.as_str(), text.as_bytes()), ("a", &b"a\xffb"[..]));
        text.push(b"\0");
        assert_eq!(text.as_c_str(), None);
    }
}
