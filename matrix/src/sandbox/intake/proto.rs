//! Finds fields of a protobuf message that its schema does not define. A decoder skips them silently, which would hide a payload with wrong field numbers.

/// The fields of a message: number, name, and the shape of nested messages.
pub(super) struct Shape(pub(super) &'static [Field]);

/// A field of a message.
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) inside: Option<&'static Shape>,
}

impl Field {
    pub(super) const fn leaf(number: u64, name: &'static str) -> Self {
        Self { number, name, inside: None }
    }

    pub(super) const fn message(number: u64, name: &'static str, inside: &'static Shape) -> Self {
        Self { number, name, inside: Some(inside) }
    }
}

/// The dotted paths of unknown fields without duplicates, such as `sketches.dogsketches.9`. Stops without an error at bytes that are not protobuf; the decoder
/// reports those.
pub(super) fn unknown_fields(bytes: &[u8], shape: &Shape) -> Vec<String> {
    let mut found = Vec::new();
    let _ = walk(bytes, shape, "", &mut found);
    found
}

fn walk(mut bytes: &[u8], shape: &Shape, path: &str, found: &mut Vec<String>) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let (number, wire_type) = (key >> 3, key & 7);
        let content = match wire_type {
            0 => {
                varint(&mut bytes)?;
                None
            }
            1 => {
                take(&mut bytes, 8)?;
                None
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Some(take(&mut bytes, length)?)
            }
            5 => {
                take(&mut bytes, 4)?;
                None
            }
            _ => return None,
        };
        match shape.0.iter().find(|field| field.number == number) {
            None => {
                let name = format!("{path}{number}");
                if !found.contains(&name) {
                    found.push(name);
                }
            }
            Some(Field { name, inside: Some(inside), .. }) => {
                walk(content?, inside, &format!("{path}{name}."), found)?;
            }
            Some(_) => {}
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.first()?;
        *bytes = bytes.get(1..)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Shape = Shape(&[Field::leaf(1, "name")]);
    const OUTER: Shape = Shape(&[Field::leaf(1, "id"), Field::message(2, "inner", &INNER)]);

    #[test]
    fn names_the_path_of_an_unknown_field_once() {
        // id = 150; inner { name = "a", field 3 = 1.0f32 } twice; field 9 = 8 bytes.
        let inner = [0x12, 0x08, 0x0a, 0x01, b'a', 0x1d, 0, 0, 0x80, 0x3f];
        let mut bytes = vec![0x08, 0x96, 0x01];
        bytes.extend_from_slice(&inner);
        bytes.extend_from_slice(&inner);
        bytes.push(0x49);
        bytes.extend_from_slice(&1.0_f64.to_le_bytes());
        assert_eq!(unknown_fields(&bytes, &OUTER), ["inner.3", "9"]);
    }

    #[test]
    fn a_message_that_fits_its_schema_has_none() {
        assert!(unknown_fields(&[0x08, 0x01, 0x12, 0x03, 0x0a, 0x01, b'x'], &OUTER).is_empty());
    }

    #[test]
    fn truncated_bytes_end_the_walk() {
        assert!(unknown_fields(&[0x12, 0x7f, 0x01], &OUTER).is_empty());
    }
}
