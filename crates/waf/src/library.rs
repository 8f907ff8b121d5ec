//! libddwaf 2: the only file that knows its types and functions. With `entry`, the only one with `unsafe` code.
//!
//! Source: the types and calls of the library's public binding for Python, which comes with it; `matrix/waf.toml` has the package.
#![expect(unsafe_code, reason = "a library in another language has no safe interface")]

use alloc::vec::Vec;
use core::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
};

use waf_protocol::{
    Error, MAX_DEPTH, MAX_REPLY_BYTES, MAX_VALUES, Reader, Reply, Token, WafStatus, write_array, write_map, write_text,
    write_token,
};

/// A value of the library's: a tag in the first byte, and 15 bytes that depend on it.
#[repr(C, align(8))]
struct Object {
    bytes: [u8; 16],
}

const _: () = assert!(size_of::<Object>() == 16 && align_of::<*const c_void>() == 8);

/// Tags of values.
mod tag {
    pub const NULL: u8 = 1;
    pub const BOOL: u8 = 2;
    pub const SIGNED: u8 = 4;
    pub const UNSIGNED: u8 = 6;
    pub const FLOAT: u8 = 8;
    pub const TEXT: u8 = 0x10;
    pub const LITERAL: u8 = 0x12;
    pub const SHORT_TEXT: u8 = 0x14;
    pub const ARRAY: u8 = 0x20;
    pub const MAP: u8 = 0x40;
}

/// Most entries of a container, which the library counts with 16 bits.
const MAX_ENTRIES: u32 = u16::MAX as u32;
/// Most bytes of a short text.
const MAX_SHORT_BYTES: usize = 14;
/// Names of the two configurations. The library needs them only to replace one by the same name.
const RULES_PATH: &[u8] = b"rules";
const OBFUSCATOR_PATH: &[u8] = b"obfuscator/config";

type Handle = *mut c_void;
type Allocator = *mut c_void;

#[link(name = "ddwaf")]
unsafe extern "C" {
    fn ddwaf_get_version() -> *const c_char;
    fn ddwaf_get_default_allocator() -> Allocator;
    fn ddwaf_builder_init() -> Handle;
    fn ddwaf_builder_add_or_update_config(
        builder: Handle,
        path: *const u8,
        length: u32,
        config: *mut Object,
        diagnostics: *mut Object,
    ) -> bool;
    fn ddwaf_builder_build_instance(builder: Handle) -> Handle;
    fn ddwaf_builder_destroy(builder: Handle);
    fn ddwaf_context_init(waf: Handle, output: Allocator) -> Handle;
    fn ddwaf_context_eval(
        context: Handle,
        data: *mut Object,
        allocator: Allocator,
        result: *mut Object,
        timeout_us: u64,
    ) -> c_int;
    fn ddwaf_context_destroy(context: Handle);
    fn ddwaf_object_from_json(object: *mut Object, json: *const u8, length: u32, allocator: Allocator) -> bool;
    fn ddwaf_object_destroy(object: *mut Object, allocator: Allocator);
    fn ddwaf_object_set_null(object: *mut Object) -> *mut Object;
    fn ddwaf_object_set_bool(object: *mut Object, value: bool) -> *mut Object;
    fn ddwaf_object_set_signed(object: *mut Object, value: i64) -> *mut Object;
    fn ddwaf_object_set_unsigned(object: *mut Object, value: u64) -> *mut Object;
    fn ddwaf_object_set_float(object: *mut Object, value: f64) -> *mut Object;
    fn ddwaf_object_set_string(object: *mut Object, text: *const u8, length: u32, allocator: Allocator) -> *mut Object;
    fn ddwaf_object_set_array(object: *mut Object, capacity: u16, allocator: Allocator) -> *mut Object;
    fn ddwaf_object_set_map(object: *mut Object, capacity: u16, allocator: Allocator) -> *mut Object;
    fn ddwaf_object_insert(array: *mut Object, allocator: Allocator) -> *mut Object;
    fn ddwaf_object_insert_key(map: *mut Object, key: *const u8, length: u32, allocator: Allocator) -> *mut Object;
}

/// Rules that are built. They live as long as the process.
pub struct Waf {
    handle: Handle,
}

impl Waf {
    /// Builds the rules, and says which they are. The error is the reason, in English.
    pub fn build(rules: &[u8], obfuscator: &[u8]) -> Result<(Self, Reply), &'static str> {
        // SAFETY: it takes nothing; a null pointer is refused below.
        let builder = unsafe { ddwaf_builder_init() };
        if builder.is_null() {
            return Err("libddwaf has no memory for a builder");
        }
        if !obfuscator.is_empty() {
            let _ = add(builder, OBFUSCATOR_PATH, obfuscator)?;
        }
        let diagnostics = add(builder, RULES_PATH, rules)?;
        // SAFETY: the builder is one of `ddwaf_builder_init`, and is not used after it is destroyed.
        let handle = unsafe {
            let handle = ddwaf_builder_build_instance(builder);
            ddwaf_builder_destroy(builder);
            handle
        };
        if handle.is_null() {
            return Err("libddwaf uses none of the rules");
        }
        Ok((Self { handle }, diagnostics.ready()))
    }

    /// A new context; None if there is no memory for one.
    pub fn context(&self) -> Option<Context> {
        // SAFETY: the rules live as long as the process, and so does the default allocator.
        let handle = unsafe { ddwaf_context_init(self.handle, ddwaf_get_default_allocator()) };
        (!handle.is_null()).then_some(Context { handle })
    }
}

/// A `ddwaf_context`: the addresses of one request.
pub struct Context {
    handle: Handle,
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the handle is one of `ddwaf_context_init` and is not used afterwards.
        unsafe { ddwaf_context_destroy(self.handle) }
    }
}

impl Context {
    /// Evaluates an encoded map of addresses, and appends the frame of the outcome.
    pub fn evaluate(&mut self, id: u32, budget_us: u64, addresses: &[u8], out: &mut Vec<u8>) {
        let failed =
            |out: &mut Vec<u8>| Reply::write_outcome(out, id, WafStatus::Failed, |out| write_token(out, Token::Null));
        let mut data = OwnedObject::new();
        let mut reader = Reader::new(addresses);
        // SAFETY: the object is one of ours, initialized and in no container.
        if unsafe { fill(&raw mut data.object, &mut reader, MAX_DEPTH) }.and_then(|()| reader.end()).is_err() {
            return failed(out);
        }
        let mut result = OwnedObject::new();
        // SAFETY: the handle is one of `ddwaf_context_init`, and both objects are initialized. The library owns the data from here on, because it is told which allocator they
        // are of; what it may not own after an error is leaked rather than freed twice.
        let code = unsafe {
            let allocator = ddwaf_get_default_allocator();
            ddwaf_context_eval(self.handle, &raw mut data.object, allocator, &raw mut result.object, budget_us)
        };
        core::mem::forget(data);
        let status = match code {
            0 => WafStatus::Ok,
            1 => WafStatus::Match,
            _ => return failed(out),
        };
        let start = out.len();
        let (mut left, mut written) = (MAX_VALUES, Ok(()));
        Reply::write_outcome(out, id, status, |out| {
            written = write_object(&result.object, MAX_DEPTH, &mut left, out);
        });
        // The agent reads nothing that is longer or has more values.
        if written.is_err() || out.len().saturating_sub(start) > MAX_REPLY_BYTES {
            out.truncate(start);
            failed(out);
        }
    }
}

/// An object that is freed with what is in it.
struct OwnedObject {
    object: Object,
}

impl OwnedObject {
    fn new() -> Self {
        let mut object = Object { bytes: [0; 16] };
        object.bytes[0] = tag::NULL;
        Self { object }
    }

    /// How many rules are used, which not, and the version of the ruleset, from the diagnostics of a configuration.
    fn ready(&self) -> Reply {
        let rules = self.object.field(b"rules");
        let count = |name| rules.and_then(|rules| rules.field(name)).map_or(0, Object::entries);
        // SAFETY: the library's version is a constant string.
        let version = unsafe { CStr::from_ptr(ddwaf_get_version()) };
        Reply::Ready {
            waf_version: version.to_bytes().to_vec(),
            rules_version: self.object.field(b"ruleset_version").and_then(Object::text).unwrap_or_default().to_vec(),
            loaded: count(b"loaded"),
            failed: count(b"failed"),
        }
    }
}

impl Drop for OwnedObject {
    fn drop(&mut self) {
        // SAFETY: the object is initialized, and everything in it is of the default allocator.
        unsafe { ddwaf_object_destroy(&raw mut self.object, ddwaf_get_default_allocator()) }
    }
}

/// Adds a configuration, in JSON, to a builder. Gives the diagnostics.
fn add(builder: Handle, path: &[u8], json: &[u8]) -> Result<OwnedObject, &'static str> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default();
    let (mut config, mut diagnostics) = (OwnedObject::new(), OwnedObject::new());
    // SAFETY: the pointers are of slices with the lengths that are passed, and of objects that are initialized; the builder is one of `ddwaf_builder_init`, and copies what it
    // keeps.
    unsafe {
        let allocator = ddwaf_get_default_allocator();
        if !ddwaf_object_from_json(&raw mut config.object, json.as_ptr(), length(json), allocator) {
            return Err("the rules are no JSON");
        }
        let (config, diagnostics) = (&raw mut config.object, &raw mut diagnostics.object);
        if !ddwaf_builder_add_or_update_config(builder, path.as_ptr(), length(path), config, diagnostics) {
            return Err("libddwaf refuses the rules");
        }
    }
    Ok(diagnostics)
}

/// Makes an object of an encoded value.
///
/// # Safety
///
/// `object` points to an object that may be overwritten: one that is initialized and holds nothing, or a new entry of a container.
unsafe fn fill(object: *mut Object, reader: &mut Reader, depth: usize) -> Result<(), Error> {
    let below = depth.checked_sub(1).ok_or(Error::Depth)?;
    // SAFETY: the caller says that the object may be overwritten; texts are slices with the length that is passed; entries that the library makes are used at once, before
    // the container may move them, and null pointers are not used.
    unsafe {
        let allocator = ddwaf_get_default_allocator();
        match Token::read(reader)? {
            Token::Null => _ = ddwaf_object_set_null(object),
            Token::Bool(value) => _ = ddwaf_object_set_bool(object, value),
            Token::Signed(value) => _ = ddwaf_object_set_signed(object, value),
            Token::Unsigned(value) => _ = ddwaf_object_set_unsigned(object, value),
            Token::Float(value) => _ = ddwaf_object_set_float(object, value),
            Token::Text(text) => {
                let length = u32::try_from(text.len()).map_err(|_| Error::Truncated)?;
                ddwaf_object_set_string(object, text.as_ptr(), length, allocator);
            }
            Token::Array(count) => {
                ddwaf_object_set_array(object, capacity(count)?, allocator);
                for _ in 0..count {
                    fill_entry(ddwaf_object_insert(object, allocator), reader, below)?;
                }
            }
            Token::Map(count) => {
                ddwaf_object_set_map(object, capacity(count)?, allocator);
                for _ in 0..count {
                    let name = reader.text()?;
                    let length = u32::try_from(name.len()).map_err(|_| Error::Truncated)?;
                    fill_entry(ddwaf_object_insert_key(object, name.as_ptr(), length, allocator), reader, below)?;
                }
            }
        }
    }
    Ok(())
}

fn capacity(count: u32) -> Result<u16, Error> {
    u16::try_from(count).map_err(|_| Error::Truncated)
}

/// # Safety
///
/// `entry` is null or a new entry of a container.
unsafe fn fill_entry(entry: *mut Object, reader: &mut Reader, depth: usize) -> Result<(), Error> {
    if entry.is_null() {
        return Err(Error::Truncated);
    }
    // SAFETY: a new entry may hold anything: made null, it can be freed with its container whatever happens next.
    unsafe {
        ddwaf_object_set_null(entry);
        fill(entry, reader, depth)
    }
}

impl Object {
    fn tag(&self) -> u8 {
        self.bytes[0]
    }

    fn word(&self) -> u64 {
        self.bytes.last_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
    }

    /// The pointer of a text or a container.
    fn pointer<T>(&self) -> *const T {
        ptr::with_exposed_provenance(usize::try_from(self.word()).unwrap_or_default())
    }

    /// Number of entries of an array or map; 0 for scalars.
    fn entries(&self) -> u32 {
        match self.tag() {
            tag::ARRAY | tag::MAP => u32::from(u16::from_ne_bytes([self.bytes[2], self.bytes[3]])).min(MAX_ENTRIES),
            _ => 0,
        }
    }

    /// The entries of an array, or the names and values of a map, one after the other.
    fn objects(&self) -> &[Self] {
        let each = if self.tag() == tag::MAP { 2 } else { 1 };
        let count = usize::try_from(self.entries()).unwrap_or_default() * each;
        if count == 0 || self.pointer::<Self>().is_null() {
            return &[];
        }
        // SAFETY: the library has as many objects there as it says, twice as many in a map, as long as the container is not changed.
        unsafe { slice::from_raw_parts(self.pointer(), count) }
    }

    fn text(&self) -> Option<&[u8]> {
        match self.tag() {
            tag::SHORT_TEXT => self.bytes.get(2..2 + usize::from(self.bytes[1]).min(MAX_SHORT_BYTES)),
            tag::TEXT | tag::LITERAL => {
                let length = u32::from_ne_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]]);
                if length == 0 || self.pointer::<u8>().is_null() {
                    return Some(&[]);
                }
                // SAFETY: the library has as many bytes there as it says, as long as the object is not changed.
                Some(unsafe { slice::from_raw_parts(self.pointer(), usize::try_from(length).unwrap_or_default()) })
            }
            _ => None,
        }
    }

    fn field(&self, name: &[u8]) -> Option<&Self> {
        let mut pairs = self.objects().chunks_exact(2).filter(|_| self.tag() == tag::MAP);
        pairs.find_map(|pair| pair.first()?.text().filter(|known| *known == name).and(pair.last()))
    }
}

/// Appends an object as an encoded value; what is too deep, or unknown, as null. An error says that it has more values than are left.
fn write_object(object: &Object, depth: usize, left: &mut usize, out: &mut Vec<u8>) -> Result<(), Error> {
    *left = left.checked_sub(1).ok_or(Error::Values)?;
    let token = match object.tag() {
        tag::BOOL => Token::Bool(object.bytes[1] != 0),
        tag::SIGNED => Token::Signed(object.word().cast_signed()),
        tag::UNSIGNED => Token::Unsigned(object.word()),
        tag::FLOAT => Token::Float(f64::from_bits(object.word())),
        tag::ARRAY if depth > 0 => {
            write_array(out, object.entries());
            return object.objects().iter().try_for_each(|entry| write_object(entry, depth - 1, left, out));
        }
        tag::MAP if depth > 0 => {
            write_map(out, object.entries());
            for pair in object.objects().chunks_exact(2) {
                write_text(out, pair.first().and_then(Object::text).unwrap_or_default());
                if let Some(value) = pair.last() {
                    write_object(value, depth - 1, left, out)?;
                }
            }
            return Ok(());
        }
        _ => object.text().map_or(Token::Null, Token::Text),
    };
    write_token(out, token);
    Ok(())
}
