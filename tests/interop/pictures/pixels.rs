//! Decodes images for `fuzz.py`: reads a length (`u32`, little-endian) and so many bytes of a file from stdin, over and
//! over, and writes width, height (0, 0: refused), a length and so many bytes, of pixels or of the reason.

use std::io::{self, Read, Write};

use resnetd::preprocess::{DecodeLimits, Orientation, decode};

fn main() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut length = [0; 4];
    while input.read_exact(&mut length).is_ok() {
        let mut file = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut file)?;
        let (width, height, content) = match decode(&file, Orientation::Apply, &DecodeLimits::default()) {
            Ok(pixels) => (pixels.width(), pixels.height(), pixels.data().to_vec()),
            Err(error) => (0, 0, error.to_string().into_bytes()),
        };
        for number in [width, height, content.len() as u32] {
            output.write_all(&number.to_le_bytes())?;
        }
        output.write_all(&content)?;
        output.flush()?;
    }
    Ok(())
}
