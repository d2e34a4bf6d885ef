//! Gray pixels on their way to the resize, in Pillow's arithmetic: `convert("L")` comes first, as in a training pipeline.

use std::ops::Range;

use super::rows::RowSink;

/// Makes the rows for another sink gray: all three samples of a pixel are its brightness then.
pub(super) struct GrayRows<'a>(pub(super) &'a mut dyn RowSink);

impl RowSink for GrayRows<'_> {
    fn wanted(&self) -> Range<u32> {
        self.0.wanted()
    }

    fn wanted_columns(&self) -> Range<u32> {
        self.0.wanted_columns()
    }

    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8])) {
        let columns = self.wanted_columns();
        self.0.rows(times, &mut |row| {
            fill(row);
            make_gray(&mut row[columns.start as usize * 3..columns.end as usize * 3]);
        });
    }
}

/// ITU-R BT.601's weights in 65536ths, rounded.
fn make_gray(rgb: &mut [u8]) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        let [red, green, blue] = pixel.map(u32::from);
        *pixel = [((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8; 3];
    }
}
